use std::sync::Arc;

use dlock_testkit::{Subject, stores};

use crate::exit::Failure;

/// The service that is put to the proof.
pub(super) struct Target {
    subject: Arc<dyn Subject>,
    shown: String,
}

impl Target {
    pub(super) fn open(url: String) -> Result<Self, Failure> {
        // What is wrong with a URL is said as by the other commands.
        let _ = dlock::builder(&url)?;
        Ok(Self { subject: stores::open(&url)?.into(), shown: without_login(&url) })
    }

    pub(super) fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    /// Its URL, for people: without user and password.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

/// All that stands before the last `@` could be a part of a password; a path has none.
fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if !scheme.eq_ignore_ascii_case("file") => {
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            // Options may hold passwords, too.
            let place = place.split('?').next().unwrap_or_default();
            format!("{scheme}://{place}")
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_login_is_shown() {
        for (url, shown) in [
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://:secret@h", "redis://h"),
            ("redis-sentinel://u:secret@a,b/s?sentinel-password=secret", "redis-sentinel://a,b/s"),
            ("etcd://u:sec@ret/x@a,b:1", "etcd://a,b:1"),
            ("file:///srv/a@b", "file:///srv/a@b"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(without_login(url), shown);
        }
    }
}
