use std::path::PathBuf;

use super::{UrlOptions, invalid};
use crate::Result;

/// The files of a client that speaks TLS, each in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that may have signed a server's certificate; those of the system if none.
    pub ca: Option<PathBuf>,
    /// What the client shows, its own certificate first.
    pub cert: Option<PathBuf>,
    /// The key to `cert`.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// None: the authorities of the system are trusted, and nothing is shown.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts the authorities in this file instead of the system's.
    #[must_use]
    pub fn with_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Shows the certificate in `cert`, to which `key` has the key.
    #[must_use]
    pub fn with_certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.cert = Some(cert.into());
        self.key = Some(key.into());
        self
    }

    /// Takes the options `ca-file`, `cert-file` and `key-file` out.
    ///
    /// # Errors
    /// `InvalidInput` when one names no file; as [`TlsFiles::check`].
    pub fn take_from(options: &mut UrlOptions) -> Result<Self> {
        let mut file = |name| match options.take(name) {
            Some(path) if path.is_empty() => Err(invalid(format!("option {name:?} names no file"))),
            path => Ok(path.map(PathBuf::from)),
        };
        let files = Self { ca: file("ca-file")?, cert: file("cert-file")?, key: file("key-file")? };
        files.check()?;
        Ok(files)
    }

    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a certificate without its key, and a key without its certificate.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn check(&self) -> Result<()> {
        if self.cert.is_some() == self.key.is_some() {
            return Ok(());
        }
        Err(invalid("cert-file and key-file belong together: give both or none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["ca-file", "cert-file", "key-file"];

    fn read(query: &str) -> Result<TlsFiles> {
        TlsFiles::take_from(&mut UrlOptions::read(query, KNOWN)?)
    }

    #[test]
    fn files_are_named_by_options() {
        let file = |name: &str| Some(PathBuf::from(name));
        let all = TlsFiles { ca: file("/a b"), cert: file("c"), key: file("k") };
        assert_eq!(read("ca-file=/a%20b&key-file=k&cert-file=c").unwrap(), all);
        assert!(read("").unwrap().is_empty() && !all.is_empty());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (query, why) in [
            ("ca-file=", "\"ca-file\" names no file"),
            ("cert-file=c", "belong together"),
            ("key-file=k&ca-file=a", "belong together"),
        ] {
            assert!(read(query).unwrap_err().to_string().contains(why), "{query}");
        }
    }
}
