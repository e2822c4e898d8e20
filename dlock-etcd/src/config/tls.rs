//! What the client library needs to speak TLS.

use dlock_core::Result;
use dlock_core::address::TlsFiles;
use etcd_client::ConnectOptions;

/// Without the feature `tls`.
///
/// # Errors
/// `Unsupported`.
#[cfg(not(feature = "tls"))]
pub(super) fn encrypt(_: ConnectOptions, _: &TlsFiles) -> Result<ConnectOptions> {
    use dlock_core::{Error, ErrorKind};
    Err(Error::new(ErrorKind::Unsupported, "tls is not built in: enable the cargo feature `tls` of dlock"))
}

/// Encrypts connections. The library takes the cryptography that the process has chosen, or ring.
/// A server has to show a certificate for the host or address by which it is called. There is no
/// timer in it: callers' own connections have none.
///
/// # Errors
/// `InvalidInput` for files that cannot be used.
#[cfg(feature = "tls")]
pub(super) fn encrypt(options: ConnectOptions, files: &TlsFiles) -> Result<ConnectOptions> {
    use etcd_client::{Certificate, Identity, TlsOptions};
    let pem = files.read()?;
    let tls = TlsOptions::new();
    let tls = match pem.authorities {
        Some(authorities) => tls.ca_certificate(Certificate::from_pem(authorities)),
        None => tls.with_native_roots(),
    };
    let tls = match pem.client {
        Some(client) => tls.identity(Identity::from_pem(client.certificate, client.key)),
        None => tls,
    };
    Ok(options.with_tls(tls))
}
