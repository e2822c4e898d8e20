//! TLS: the files it needs, and clients that speak it.

#[cfg(feature = "tls")]
mod certificates;

use std::path::PathBuf;

use dlock_core::Result;
use redis::{Client, ConnectionInfo};

/// Certificates in files, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The authorities that may have signed a server's certificate; those of the system if none.
    pub(crate) ca: Option<PathBuf>,
    /// What this client shows, its own certificate first.
    pub(crate) cert: Option<PathBuf>,
    /// The key to `cert`.
    pub(crate) key: Option<PathBuf>,
}

impl TlsFiles {
    /// # Errors
    /// `Unsupported`: TLS is not built in.
    #[cfg(not(feature = "tls"))]
    pub(super) fn client(&self, _: ConnectionInfo) -> Result<Client> {
        use dlock_core::{Error, ErrorKind};
        Err(Error::new(ErrorKind::Unsupported, "tls is not built in: enable the cargo feature `tls` of dlock"))
    }

    /// A client that speaks TLS with the server at `info`.
    ///
    /// # Errors
    /// `InvalidInput` for files that cannot be used.
    #[cfg(feature = "tls")]
    pub(super) fn client(&self, info: ConnectionInfo) -> Result<Client> {
        certificates::choose_cryptography();
        match certificates::read(self)? {
            None => Client::open(info).map_err(crate::error::classify_connecting),
            Some(certificates) => Client::build_with_tls(info, certificates)
                .map_err(|error| certificates::invalid(&format!("the certificates for tls cannot be used: {error}"))),
        }
    }
}
