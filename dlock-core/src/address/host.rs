use std::fmt;
use std::net::Ipv6Addr;

use super::invalid;
use crate::Result;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// From 1 to 65535, where it was parsed.
    pub port: u16,
}

impl Address {
    /// This host, given without brackets, and this port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
    ///
    /// # Errors
    /// `InvalidInput`, without repeating the text.
    pub fn parse(text: &str, default_port: u16) -> Result<Self> {
        Self::read(text, default_port).map_err(invalid)
    }

    fn read(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("an ipv6 address ends with a bracket: [::1]")?;
                host.parse::<Ipv6Addr>().map_err(|_| "what is in brackets is not an ipv6 address")?;
                (host, port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) if port.contains(':') => return Err("write an ipv6 address in brackets, as in [::1]:80"),
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535")?,
            None if port.is_empty() => default_port,
            None => return Err("after a bracket only a port can follow, as in [::1]:80"),
        };
        if host.is_empty() {
            return Err("the name of a host is missing");
        }
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if !host.chars().all(is_plain) {
            return Err("a host has a character that no host has");
        }
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, host, port, shown) in [
            ("h", "h", 6379, "h:6379"),
            ("a_b.internal:7", "a_b.internal", 7, "a_b.internal:7"),
            ("127.0.0.1:7000", "127.0.0.1", 7000, "127.0.0.1:7000"),
            ("[::1]", "::1", 6379, "[::1]:6379"),
            ("[2001:db8::7]:26379", "2001:db8::7", 26379, "[2001:db8::7]:26379"),
        ] {
            let address = Address::parse(text, 6379).unwrap();
            assert_eq!(address, Address::new(host, port));
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("", "host is missing"),
            (":77", "host is missing"),
            ("h:", "from 1 to 65535"),
            ("h:0", "from 1 to 65535"),
            ("h:65536", "from 1 to 65535"),
            ("h:port", "from 1 to 65535"),
            ("::1", "in brackets"),
            ("::1:6379", "in brackets"),
            ("[::1", "ends with a bracket"),
            ("[h]:1", "not an ipv6 address"),
            ("[::1]7", "only a port"),
            ("a b", "no host has"),
            ("u:p@h", "from 1 to 65535"),
            ("u@h", "no host has"),
        ] {
            assert!(Address::parse(text, 6379).unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
