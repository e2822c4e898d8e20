//! What is in the files for TLS.

use std::path::Path;

use dlock_core::{Error, ErrorKind, Result};
use redis::{ClientTlsConfig, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsFiles;

/// The certificates in these files; `None` where there are no files.
pub(super) fn read(files: &TlsFiles) -> Result<Option<TlsCertificates>> {
    let root_cert = files.ca.as_deref().map(read_certificates).transpose()?;
    let client_tls = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read_certificates(cert)?, client_key: read_key(key)? })
        }
        _ => None,
    };
    let is_any = root_cert.is_some() || client_tls.is_some();
    Ok(is_any.then_some(TlsCertificates { client_tls, root_cert }))
}

/// The library takes the cryptography that the process has chosen, and panics where it has the
/// choice of several and chose none.
pub(super) fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Should another thread choose at this moment, its choice stands.
        let _ = ring::default_provider().install_default();
    }
}

fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let pem = read_file(path)?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(pem),
        Some(Err(error)) => Err(invalid(&format!("{} cannot be read as pem: {error}", path.display()))),
        None => Err(invalid(&format!("{} holds no certificate: give one as pem", path.display()))),
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>> {
    let pem = read_file(path)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        Err(error) => Err(invalid(&format!("{} holds no private key in pem: {error}", path.display()))),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| invalid(&format!("cannot read {}: {error}", path.display())).with_source(error))
}

pub(super) fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}
