//! A server that many tests share.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// A server that many tests use at the same time: keep apart by namespace, never kill or flush it.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
}

impl Server {
    pub(crate) fn new(url: String) -> Self {
        Self { url }
    }

    /// Its URL for `dlock::connect`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its host and port; the first, if there are several.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', ',']).next().unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// Its socket, if it listens on one instead of a port.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        let (_, rest) = self.url.split_once("unix://")?;
        let path = &rest[rest.find('/')?..];
        let path = path.split('?').next().unwrap_or_default();
        Some(percent_decode_str(path).decode_utf8().ok()?.into_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_the_first_host_and_port() {
        for (url, authority) in [
            ("redis://127.0.0.1:6379", "127.0.0.1:6379"),
            ("redis://user:p@ss@host:1/0?x=y", "host:1"),
            ("etcd://a:1,b:2", "a:1"),
            ("etcd://[::1]:2379/", "[::1]:2379"),
        ] {
            assert_eq!(Server::new(url.to_owned()).authority(), authority);
        }
    }

    #[test]
    fn a_socket_is_a_path() {
        for (url, socket) in [
            ("redis+unix://u:p@/run/a%20b.sock?db=1", Some("/run/a b.sock")),
            ("unix:///s", Some("/s")),
            ("redis://h/1", None),
        ] {
            assert_eq!(Server::new(url.to_owned()).socket(), socket.map(PathBuf::from));
        }
    }
}
