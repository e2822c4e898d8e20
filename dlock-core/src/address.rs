//! What a backend reads to find its service: URLs, options, logins and certificates, for authors of
//! backends.
//!
//! ```
//! use dlock_core::address::{ServerUrl, TlsFiles};
//!
//! let form = "acme://[user:password@]host[:port][,host[:port]...][/place]";
//! let url = "acmes://me:secret@a,[::1]:99/place?ca-file=/etc/ca.pem&request-timeout=2s";
//! let url = ServerUrl::split(url, form)?;
//! assert_eq!((url.scheme(), url.path()), ("acmes", "/place"));
//! assert_eq!(url.login()?.user(), Some("me"));
//! assert_eq!(url.addresses(7)?[0].to_string(), "a:7");
//!
//! let mut options = url.options(&["ca-file", "cert-file", "key-file", "request-timeout"])?;
//! assert_eq!(options.duration("request-timeout")?.map(|time| time.as_secs()), Some(2));
//! let files = TlsFiles::take_from(&mut options)?;
//! assert!(files.ca.is_some());
//! # Ok::<(), dlock_core::Error>(())
//! ```
//!
//! All errors are `InvalidInput`. Their messages repeat of a URL only its scheme and the names of
//! options, as anything else could be a password.

mod duration;
mod host;
mod login;
mod options;
#[cfg(feature = "tls")]
mod pem;
mod percent;
mod tls_files;
#[cfg(feature = "tls")]
mod tls_trouble;
mod url;

pub use self::duration::duration;
pub use self::host::Address;
pub use self::login::Login;
pub use self::options::UrlOptions;
#[cfg(feature = "tls")]
pub use self::pem::{ClientPem, Pem};
pub use self::percent::decode;
pub use self::tls_files::TlsFiles;
#[cfg(feature = "tls")]
pub use self::tls_trouble::TlsTrouble;
pub use self::url::ServerUrl;
use crate::{Error, ErrorKind};

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
