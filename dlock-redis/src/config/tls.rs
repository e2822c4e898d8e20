//! Clients that speak TLS.

use dlock_core::Result;
use dlock_core::address::TlsFiles;
use redis::{Client, ConnectionInfo};

/// Without the feature `tls`.
///
/// # Errors
/// `Unsupported`.
#[cfg(not(feature = "tls"))]
pub(super) fn client(_: &TlsFiles, _: ConnectionInfo) -> Result<Client> {
    use dlock_core::{Error, ErrorKind};
    Err(Error::new(ErrorKind::Unsupported, "tls is not built in: enable the cargo feature `tls` of dlock"))
}

/// A client that speaks TLS with the server at `info`.
///
/// # Errors
/// `InvalidInput` for files that cannot be used.
#[cfg(feature = "tls")]
pub(super) fn client(files: &TlsFiles, info: ConnectionInfo) -> Result<Client> {
    use dlock_core::{Error, ErrorKind};
    use redis::{ClientTlsConfig, TlsCertificates};
    choose_cryptography();
    if files.is_empty() {
        return Client::open(info).map_err(crate::error::classify_connecting);
    }
    let pem = files.read()?;
    let client_tls =
        pem.client.map(|client| ClientTlsConfig { client_cert: client.certificate, client_key: client.key });
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: pem.authorities }).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("the certificates for tls cannot be used: {error}"))
    })
}

/// The library takes the cryptography that the process has chosen, and panics where it has the
/// choice of several and chose none.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    use rustls::crypto::{CryptoProvider, ring};
    if CryptoProvider::get_default().is_none() {
        // Should another thread choose at this moment, its choice stands.
        let _ = ring::default_provider().install_default();
    }
}
