//! The stores that dlock ships, as subjects of the suite: each by the URL that `dlock::connect`
//! takes, without the options that are for all of them.

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "redis", feature = "etcd"))]
mod relayed;

use dlock_core::{Error, ErrorKind, Result};

#[cfg(feature = "etcd")]
pub use self::etcd::{EtcdSubject, EtcdTopology};
#[cfg(feature = "file")]
pub use self::file::FileSubject;
#[cfg(feature = "redis")]
pub use self::redis::{RedisSubject, RedisTopology};
use crate::{MemorySubject, Subject};

/// The store at `url`. Nothing is connected yet.
///
/// # Errors
/// `InvalidInput` when the URL cannot be used, with the stores that are compiled in where its
/// scheme is not one of theirs; `Unsupported` for a form of it that the store does not know yet.
/// No message repeats a password.
pub fn open(url: &str) -> Result<Box<dyn Subject>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let Some(store) = STORES.iter().find(|store| store.schemes.contains(&scheme)) else {
        let forms: Vec<&str> = STORES.iter().map(|store| store.form).collect();
        return Err(invalid(format!("no store for this url is compiled in: use {}", forms.join(" or "))));
    };
    let options = url.split_once('?').map_or("", |(_, options)| options);
    let names = options.split('&').map(|option| option.split_once('=').map_or(option, |(name, _)| name));
    match names.filter(|name| !name.is_empty()).find(|name| !store.options.contains(name)) {
        None => (store.open)(url),
        Some(_) if store.options.is_empty() => Err(invalid(format!("{OWN}: leave out the url's ? and what follows"))),
        Some(_) => Err(invalid(format!("{OWN}: leave out all options but {}", store.options.join(", ")))),
    }
}

const OWN: &str = "the suite sets namespace, ttl and label itself";

/// A kind of store, and how its URLs are opened.
struct Store {
    schemes: &'static [&'static str],
    /// How its URL looks.
    form: &'static str,
    /// The options of its URL that are its own.
    options: &'static [&'static str],
    open: fn(&str) -> Result<Box<dyn Subject>>,
}

const STORES: &[Store] = &[
    Store { schemes: &["memory"], form: "memory:", options: &[], open: |_url| Ok(Box::new(MemorySubject::new())) },
    #[cfg(feature = "file")]
    Store {
        schemes: &["file"],
        form: "file:///DIRECTORY",
        options: &[],
        open: |url| Ok(Box::new(FileSubject::from_url(url)?)),
    },
    #[cfg(feature = "redis")]
    Store {
        schemes: dlock_redis::RedisConfig::URL_SCHEMES,
        form: "redis://HOST:PORT",
        options: dlock_redis::RedisConfig::URL_OPTIONS,
        open: |url| Ok(Box::new(RedisSubject::from_url(url)?)),
    },
    #[cfg(feature = "etcd")]
    Store {
        schemes: dlock_etcd::EtcdConfig::URL_SCHEMES,
        form: "etcd://HOST:PORT,HOST:PORT",
        options: dlock_etcd::EtcdConfig::URL_OPTIONS,
        open: |url| Ok(Box::new(EtcdSubject::from_url(url)?)),
    },
];

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Waits for a server, where there is no runtime yet: a subject is made before the cases run.
#[cfg(any(feature = "redis", feature = "etcd"))]
fn wait_for<T>(server: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a test has a runtime").block_on(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compiled_in_is_answered_with_what_is() {
        for url in ["ftp://u:secret@h", "secret", ""] {
            let error = open(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains("use memory:") && !text.contains("secret"), "{text}");
            assert_eq!(text.contains("redis://"), cfg!(feature = "redis"), "{text}");
        }
    }

    #[test]
    fn settings_in_a_url_are_refused() {
        let error = open("memory:?ttl=5s").unwrap_err();
        assert!(error.to_string().contains("leave out"), "{error}");
    }

    #[test]
    #[cfg(feature = "redis")]
    fn settings_of_a_store_alone_are_taken() {
        let error = open("redis://u:secret@h?db=1&ttl=5s").unwrap_err();
        assert!(
            error.to_string().contains("all options but ca-file") && !error.to_string().contains("secret"),
            "{error}"
        );
        let subject = open("redis+unix:///run/redis.sock?db=1").unwrap();
        assert!(format!("{subject:?}").contains("redis.sock"), "{subject:?}");
    }

    #[test]
    #[cfg(any(feature = "redis", feature = "etcd"))]
    fn no_subject_shows_its_password() {
        let schemes = [cfg!(feature = "redis").then_some("redis"), cfg!(feature = "etcd").then_some("etcd")];
        for scheme in schemes.into_iter().flatten() {
            let subject = open(&format!("{scheme}://u:secret@somewhere:1")).unwrap();
            let shown = format!("{subject:?}");
            assert!(shown.contains("somewhere") && !shown.contains("secret"), "{shown}");
            if let Err(refused) = open(&format!("{scheme}s://u:secret@h")) {
                let tls_is_there = scheme == "redis" && cfg!(feature = "tls");
                assert!(!tls_is_there && !refused.to_string().contains("secret"), "{refused}");
            }
        }
    }
}
