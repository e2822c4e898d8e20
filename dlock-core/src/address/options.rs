use std::time::Duration;

use super::{decode, duration, invalid};
use crate::Result;

/// The options of a URL: each is taken out where it is put to use.
#[derive(Clone)]
pub struct UrlOptions {
    pairs: Vec<(&'static str, String)>,
}

impl UrlOptions {
    pub(super) fn read(query: &str, known: &'static [&'static str]) -> Result<Self> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                return Err(invalid(format!("unknown option {name:?} in the url: there are {}", known.join(", "))));
            };
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(invalid(format!("option {name:?} is in the url twice: remove one")));
            }
            let value = decode(value).map_err(|error| error.context(format!("option {name:?}")))?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value of this option, if it is there.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let place = self.pairs.iter().position(|(there, _)| *there == name)?;
        Some(self.pairs.swap_remove(place).1)
    }

    /// The value of this option as a length of time, if it is there.
    ///
    /// # Errors
    /// As [`duration`].
    pub fn duration(&mut self, name: &str) -> Result<Option<Duration>> {
        let text = self.take(name);
        text.map(|text| duration(name, &text)).transpose()
    }
}

/// Values may be passwords, which are not shown.
impl std::fmt::Debug for UrlOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["a", "b", "c"];

    #[test]
    fn options_are_taken_once() {
        let mut options = UrlOptions::read("a=x%26y&&b&c=90", KNOWN).unwrap();
        assert_eq!(format!("{options:?}"), r#"{"a", "b", "c"}"#);
        assert_eq!(options.take("a").as_deref(), Some("x&y"));
        assert_eq!(options.take("a"), None);
        assert_eq!(options.take("b").as_deref(), Some(""));
        assert_eq!(options.duration("c").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(options.duration("c").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (query, why) in [
            ("d=secret", "unknown option \"d\" in the url: there are a, b, c"),
            ("A=secret", "unknown option \"A\""),
            ("a=secret&a=secret", "option \"a\" is in the url twice"),
            ("b=secret%4", "option \"b\": a % is followed by two hexadecimal digits"),
        ] {
            let error = UrlOptions::read(query, KNOWN).unwrap_err();
            assert!(error.to_string().contains(why), "{query}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
