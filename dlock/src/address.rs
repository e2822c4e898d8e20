use dlock_core::{Error, ErrorKind, Result};

use crate::options::Options;
use crate::scheme;

/// A backend URL, taken apart: `scheme:place?options`.
///
/// What is wrong with a URL is said without repeating it: it may hold a password, also where none
/// belongs.
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Address<'a> {
    /// In lower case.
    pub(crate) scheme: String,
    /// What follows the scheme's colon, as it was written.
    #[cfg_attr(
        not(any(test, feature = "memory", feature = "file", feature = "redis", feature = "etcd")),
        expect(dead_code, reason = "only backends read it, and there are none")
    )]
    pub(crate) place: &'a str,
    pub(crate) options: Options,
}

impl<'a> Address<'a> {
    pub(crate) fn parse(url: &'a str) -> Result<Self> {
        if url.is_empty() {
            return Err(invalid(format!("the backend url is empty: {}", scheme::compiled_in())));
        }
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid("a backend url has no spaces and no control characters in it: write a space as %20"));
        }
        let (scheme, rest) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).ok_or_else(no_scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        // What stands before a colon without slashes may as well be a user's name or a password.
        if !scheme::is_known(&scheme) && !rest.starts_with("//") {
            return Err(no_scheme());
        }
        if rest.contains('#') {
            return Err(invalid("a backend url has no fragment: write a # that belongs to it as %23"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            return Err(invalid(
                "there is an @ among the url's options: write a ? in a password as %3F, and an @ in an option as %40",
            ));
        }
        let options = Options::parse(query, scheme::options(&scheme)?)?;
        Ok(Self { scheme, place, options })
    }

    /// The URL as its adapter knows it: without the options that are the same for every backend.
    #[cfg(any(feature = "redis", feature = "etcd"))]
    pub(crate) fn with_own_options(&self) -> String {
        let own = self.options.of_the_backend();
        let mark = if own.is_empty() { "" } else { "?" };
        format!("{}:{}{mark}{own}", self.scheme, self.place)
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn no_scheme() -> Error {
    invalid(format!("a backend url starts with the scheme of a backend: {}", scheme::compiled_in()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(feature = "memory", feature = "file"))]
    #[test]
    fn a_url_is_taken_apart() {
        for (url, scheme, place) in [
            ("memory:", "memory", ""),
            ("MEMORY:Tests", "memory", "Tests"),
            ("file:///var/lib/a%20b?ttl=5s", "file", "///var/lib/a%20b"),
            ("memory:a,b:2,c", "memory", "a,b:2,c"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((&*address.scheme, address.place), (scheme, place), "{url}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn an_adapter_gets_the_options_of_its_own() {
        for (url, own) in [
            ("redis://u:p%40ss@h:1/2?namespace=x", "redis://u:p%40ss@h:1/2"),
            ("rediss://h?ca-file=%2Fa&ttl=5s&replicas=1", "rediss://h?ca-file=%2Fa&replicas=1"),
            ("Redis-Sentinel://a,b/s?sentinel-password=%26x&label=l", "redis-sentinel://a,b/s?sentinel-password=%26x"),
            ("unix:///r.sock?db=2", "unix:///r.sock?db=2"),
        ] {
            assert_eq!(Address::parse(url).unwrap().with_own_options(), own);
        }
    }
}
