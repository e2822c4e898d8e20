use std::time::Duration;

use dlock_core::address::{decode, duration};
use dlock_core::{Builder, Error, Namespace, Result};

use crate::address::invalid;

/// The settings in a backend URL's query: some are the same for every backend.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    namespace: Option<Namespace>,
    ttl: Option<Duration>,
    label: Option<String>,
    max_hold: Option<Duration>,
    retry_for: Option<Duration>,
    /// The others, as they were written.
    own: String,
}

impl Options {
    /// Reads the query of a URL whose backend has these options of its `own`.
    pub(crate) fn parse(query: &str, own: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if own.contains(&name) {
                if !options.own.is_empty() {
                    options.own.push('&');
                }
                options.own.push_str(pair);
                continue;
            }
            let value = decode(value).map_err(|error| error.context(format!("option {name:?}")))?;
            let fresh = match name {
                "namespace" => set(&mut options.namespace, value.parse()?),
                "ttl" => set(&mut options.ttl, longer_than_zero(name, &value)?),
                "label" => set(&mut options.label, value),
                "max-hold" => set(&mut options.max_hold, longer_than_zero(name, &value)?),
                "retry-for" => set(&mut options.retry_for, duration(name, &value)?),
                _ => return Err(unknown(name, own)),
            };
            if !fresh {
                return Err(invalid(format!("option {name:?} is in the backend url twice: remove one")));
            }
        }
        Ok(options)
    }

    /// Those that only the backend knows, as they were written.
    #[cfg(any(feature = "redis", feature = "etcd"))]
    pub(crate) fn of_the_backend(&self) -> &str {
        &self.own
    }

    pub(crate) fn apply(self, mut builder: Builder) -> Builder {
        if let Some(namespace) = self.namespace {
            builder = builder.namespace(namespace);
        }
        if let Some(ttl) = self.ttl {
            builder = builder.ttl(ttl);
        }
        if let Some(label) = self.label {
            builder = builder.label(label);
        }
        if let Some(time) = self.max_hold {
            builder = builder.max_hold_time(time);
        }
        if let Some(time) = self.retry_for {
            builder = builder.retry_for(time);
        }
        builder
    }
}

fn unknown(name: &str, own: &[&str]) -> Error {
    let mut message =
        format!("unknown option {name:?} in the backend url: there are namespace, ttl, label, max-hold and retry-for");
    if !own.is_empty() {
        message.push_str(&format!(", and for this backend {}", own.join(", ")));
    }
    invalid(message)
}

/// Answers whether it was not set before.
fn set<T>(option: &mut Option<T>, value: T) -> bool {
    option.replace(value).is_none()
}

fn longer_than_zero(name: &str, text: &str) -> Result<Duration> {
    let time = duration(name, text)?;
    if time.is_zero() {
        return Err(invalid(format!("option {name:?} must be longer than zero")));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let secs = |secs| Some(Duration::from_secs(secs));
        let query = "namespace=team-a&ttl=1m%2030s&db=%32&label=w%C3%B6rker%20%267&max-hold=3600&retry-for=0s&file=";
        let options = Options::parse(query, &["file", "db"]);
        let expected = Options {
            namespace: Some("team-a".parse().unwrap()),
            ttl: secs(90),
            label: Some("wörker &7".into()),
            max_hold: secs(3600),
            retry_for: secs(0),
            own: "db=%32&file=".into(),
        };
        assert_eq!(options.unwrap(), expected);
        assert_eq!(Options::parse("", &["file"]).unwrap(), Options::default());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (query, why) in [
            (
                "tll=5s",
                "unknown option \"tll\" in the backend url: there are namespace, ttl, label, max-hold and retry-for, \
                 and for this backend file, db",
            ),
            ("TTL=5s", "unknown option \"TTL\""),
            ("ttl", "option \"ttl\" is not a duration: \"\": value was empty"),
            ("ttl=soon", "option \"ttl\" is not a duration: \"soon\": expected number at 0; write 500ms, 30s or 5m"),
            ("ttl=5M", "option \"ttl\" is not a duration: \"5M\": write 5m for minutes, 5months for months"),
            ("ttl=-5s", "option \"ttl\" is not a duration"),
            ("ttl=0", "option \"ttl\" must be longer than zero"),
            ("max-hold=0ms", "option \"max-hold\" must be longer than zero"),
            ("retry-for=99999999999999999999", "number is too large"),
            ("retry-for=101years", "option \"retry-for\" is too long"),
            ("ttl=5s&ttl=6s", "option \"ttl\" is in the backend url twice"),
            ("namespace=a%2Fb", "namespace \"a/b\" cannot be used: '/' is not one of"),
            ("namespace=", "namespace \"\" cannot be used: it is empty"),
            ("label=%C3%28", "option \"label\": what is percent-encoded is not utf-8"),
            ("label=50%", "option \"label\": a % is followed by two hexadecimal digits; write % itself as %25"),
        ] {
            let error = Options::parse(query, &["file", "db"]).unwrap_err();
            assert_eq!(error.kind(), dlock_core::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{query}: {error}");
        }
    }
}
