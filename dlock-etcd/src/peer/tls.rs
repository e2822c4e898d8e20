//! A connection over TLS that keeps what the client library loses: why it failed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::Result;
use dlock_core::address::{Address, TlsFiles, TlsTrouble};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PREFACE, first_words};
use crate::config::DEFAULT_PORT;

/// How long a server may take to say what it thinks of this client's certificate. If something were
/// written before it closes, what it said could be lost with it.
const OBJECTION: Duration = Duration::from_millis(250);

/// What an HTTP/2 client hears at `endpoint`.
pub(super) async fn ask(endpoint: &str, files: &TlsFiles) -> io::Result<[u8; 5]> {
    let config = client_config(files).map_err(io::Error::other)?;
    let host = Address::parse(endpoint, DEFAULT_PORT).map_err(io::Error::other)?.host;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TcpStream::connect(endpoint).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut head = [0; 5];
    match timeout(OBJECTION, stream.read_exact(&mut head)).await {
        Ok(heard) => heard.map(|_| head),
        Err(_) => first_words(stream, PREFACE).await,
    }
}

/// What to do about it, where it is a matter of TLS.
pub(super) fn advice(trouble: TlsTrouble) -> &'static str {
    match trouble {
        TlsTrouble::Server(advice) => advice,
        TlsTrouble::Client => {
            "it does not accept this client's certificate: give cert-file and key-file that its --trusted-ca-file has \
             signed"
        }
        TlsTrouble::NothingInCommon => "it speaks tls, but no version, cipher or protocol that this client has",
        TlsTrouble::Plain => super::PLAIN,
        TlsTrouble::Broken => "it speaks tls, and ended the connection",
    }
}

/// As the client library makes its own.
fn client_config(files: &TlsFiles) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let pem = files.read()?;
    let certificates = |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let trusted = match &pem.authorities {
        Some(authorities) => certificates(authorities)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots);
    let mut config = match &pem.client {
        None => config.with_no_client_auth(),
        Some(client) => config
            .with_client_auth_cert(certificates(&client.certificate)?, PrivateKeyDer::from_pem_slice(&client.key)?)?,
    };
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(config)
}
