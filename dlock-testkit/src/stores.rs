//! The stores that dlock ships, as subjects of the suite: each by the URL that `dlock::connect`
//! takes, without options.

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
pub use self::etcd::EtcdSubject;
#[cfg(feature = "file")]
pub use self::file::FileSubject;
#[cfg(feature = "redis")]
pub use self::redis::RedisSubject;
use crate::{MemorySubject, Subject};

/// The store at `url`. Nothing is connected yet.
///
/// # Errors
/// `InvalidInput` when the URL cannot be used, with the stores that are compiled in where its
/// scheme is not one of theirs; `Unsupported` for a form of it that the store does not know yet.
/// No message repeats a password.
pub fn open(url: &str) -> Result<Box<dyn Subject>> {
    if url.contains('?') {
        return Err(invalid("the suite sets namespace, ttl and label itself: leave out the url's ? and what follows"));
    }
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match STORES.iter().find(|store| store.schemes.contains(&scheme)) {
        Some(store) => (store.open)(url),
        None => {
            let forms: Vec<&str> = STORES.iter().map(|store| store.form).collect();
            Err(invalid(format!("no store for this url is compiled in: use {}", forms.join(" or "))))
        }
    }
}

/// A kind of store, and how its URLs are opened.
struct Store {
    schemes: &'static [&'static str],
    /// How its URL looks.
    form: &'static str,
    open: fn(&str) -> Result<Box<dyn Subject>>,
}

const STORES: &[Store] = &[
    Store { schemes: &["memory"], form: "memory:", open: |_url| Ok(Box::new(MemorySubject::new())) },
    #[cfg(feature = "file")]
    Store { schemes: &["file"], form: "file:///DIRECTORY", open: |url| Ok(Box::new(FileSubject::from_url(url)?)) },
    #[cfg(feature = "redis")]
    Store {
        schemes: &["redis", "rediss", "valkey", "valkeys"],
        form: "redis://HOST:PORT",
        open: |url| Ok(Box::new(RedisSubject::from_url(url)?)),
    },
    #[cfg(feature = "etcd")]
    Store {
        schemes: &["etcd", "etcds"],
        form: "etcd://HOST:PORT,HOST:PORT",
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
    #[cfg(any(feature = "redis", feature = "etcd"))]
    fn no_subject_shows_its_password() {
        let schemes = [cfg!(feature = "redis").then_some("redis"), cfg!(feature = "etcd").then_some("etcd")];
        for scheme in schemes.into_iter().flatten() {
            let subject = open(&format!("{scheme}://u:secret@h:1")).unwrap();
            let shown = format!("{subject:?}");
            assert!(shown.contains("h:1") && !shown.contains("secret"), "{shown}");
            assert!(open(&format!("{scheme}s://u:secret@h")).is_err(), "tls is refused");
        }
    }
}
