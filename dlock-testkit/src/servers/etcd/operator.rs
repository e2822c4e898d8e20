//! A connection of an operator's own.

use std::time::Duration;

use dlock_core::address::{Address, ServerUrl, TlsFiles};
use dlock_core::{Error, ErrorKind, Result};
use dlock_etcd::EtcdConfig;
use etcd_client::{Client, ConnectOptions};

const PORT: u16 = 2379;
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects by a URL of dlock's, as the user whom it names. Requests go to one member after the other.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let url = ServerUrl::split(url, "etcd://HOST:PORT")?;
    let login = url.login()?;
    let mut options = ConnectOptions::new().with_connect_timeout(PATIENCE).with_timeout(PATIENCE);
    if let (Some(user), Some(password)) = (login.user(), login.password()) {
        options = options.with_user(user, password);
    }
    if url.scheme() == "etcds" {
        options = with_tls(options, &TlsFiles::take_from(&mut url.options(EtcdConfig::URL_OPTIONS)?)?)?;
    }
    let endpoints: Vec<String> = url.addresses(PORT)?.iter().map(Address::to_string).collect();
    let connected = Client::connect(endpoints, Some(options)).await;
    connected.map_err(|error| Error::new(ErrorKind::Unavailable, "etcd does not serve its operator").with_source(error))
}

#[cfg(feature = "tls")]
fn with_tls(options: ConnectOptions, files: &TlsFiles) -> Result<ConnectOptions> {
    use etcd_client::{Certificate, Identity, TlsOptions};

    let pem = files.read()?;
    let tls = match pem.authorities {
        Some(authorities) => TlsOptions::new().ca_certificate(Certificate::from_pem(authorities)),
        None => TlsOptions::new().with_enabled_roots(),
    };
    let tls = match pem.client {
        Some(client) => tls.identity(Identity::from_pem(client.certificate, client.key)),
        None => tls,
    };
    Ok(options.with_tls(tls))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: ConnectOptions, _: &TlsFiles) -> Result<ConnectOptions> {
    Err(Error::new(ErrorKind::Unsupported, "the testkit speaks tls only with its cargo feature `tls`"))
}
