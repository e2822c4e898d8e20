//! How to reach etcd.

mod tls;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::address::{Address, Login, TlsFiles};
use dlock_core::{Connect, ConnectContext, Error, ErrorKind, LockBackend, Result};
use etcd_client::ConnectOptions;

use crate::backend::EtcdBackend;
use crate::peer::explain;
use crate::rpc::Rpc;

pub(crate) const DEFAULT_PORT: u16 = 2379;

/// Where an etcd cluster is and how to log in: what `Locks::builder` takes.
///
/// ```
/// # use dlock_etcd::EtcdConfig;
/// let config = EtcdConfig::from_url("etcd://locks:secret@10.0.0.1,10.0.0.2:2479")?;
/// assert_eq!(config.endpoints(), ["10.0.0.1:2379", "10.0.0.2:2479"]);
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    endpoints: Vec<String>,
    login: Login,
    /// `None` where nothing is encrypted.
    tls: Option<TlsFiles>,
    request_timeout: Duration,
}

impl EtcdConfig {
    /// How the URLs begin that [`EtcdConfig::from_url`] reads.
    pub const URL_SCHEMES: &[&str] = &["etcd", "etcds"];
    /// What may follow a URL's `?`, as [`EtcdConfig::from_url`] describes.
    pub const URL_OPTIONS: &[&str] = &["ca-file", "cert-file", "key-file", "request-timeout"];

    /// A cluster by its endpoints, each `host`, `host:port` or `[ipv6]:port`. The port is 2379 unless
    /// it is given. They are judged when it is connected to.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| with_port(endpoint.into())).collect();
        Self { endpoints, login: Login::default(), tls: None, request_timeout: Duration::from_secs(5) }
    }

    /// A cluster by its URL: `etcd://[user:password@]host[:port][,host[:port]...]`, or `etcds://` and
    /// the same for connections that are encrypted. Reserved characters are percent-encoded.
    ///
    /// | option after `?` | is |
    /// |---|---|
    /// | `ca-file`, `cert-file`, `key-file` | whom to trust and what to show, as [`EtcdConfig::with_tls`] |
    /// | `request-timeout` | as [`EtcdConfig::with_request_timeout`]: `500ms`, `5s` |
    ///
    /// # Errors
    /// `InvalidInput`, with what is wrong, when the URL is not of this form. The message never
    /// repeats the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        url::read(url)
    }

    /// Logs in with a user and a password.
    #[must_use]
    pub fn with_login(mut self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.login = Login::new(user.as_ref(), password.as_ref());
        self
    }

    /// Encrypts connections. A server has to show a certificate for the host by which it is called,
    /// of an authority that the system trusts or that is in the files. The client's own certificate
    /// may be the login: etcd with `--client-cert-auth` takes its common name for the user.
    ///
    /// It needs the cargo feature `tls`: without it connecting is `Unsupported`.
    #[must_use]
    pub fn with_tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// How long one request may take, 5 s by default.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The endpoints, each `host:port`.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    async fn open(&self, context: &ConnectContext, options: ConnectOptions) -> Result<Rpc> {
        let prefix = format!("{}/", context.namespace);
        Rpc::open(self.endpoints.clone(), options, prefix, context.clock.clone(), self.request_timeout).await
    }

    /// How to log in, and to whom to speak. It reads the files for TLS.
    fn options(&self) -> Result<ConnectOptions> {
        let options = match self.login.password() {
            Some(password) => ConnectOptions::new().with_user(self.login.user().unwrap_or_default(), password),
            None => ConnectOptions::new(),
        };
        match &self.tls {
            Some(files) => tls::encrypt(options, files),
            None => Ok(options),
        }
    }

    /// Refuses what can never work.
    fn check(&self) -> Result<()> {
        let invalid = |text| Err(Error::new(ErrorKind::InvalidInput, text));
        if self.endpoints.is_empty() {
            return invalid("no etcd endpoint is given");
        }
        if self.request_timeout.is_zero() {
            return invalid("the request timeout of etcd must not be zero");
        }
        for endpoint in &self.endpoints {
            Address::parse(endpoint, DEFAULT_PORT).map_err(|error| error.context("an etcd endpoint cannot be used"))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Connect for EtcdConfig {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        self.check()?;
        let options = self.options()?;
        let rpc = match self.open(&context, options).await {
            Ok(rpc) => rpc,
            Err(error) => {
                let error = error.context(format!("connecting to etcd at {}", self.endpoints.join(",")));
                return Err(explain(error, &self.endpoints, self.tls.as_ref()).await);
            }
        };
        Ok(Arc::new(EtcdBackend::new(rpc, &context.namespace)))
    }
}

fn with_port(endpoint: String) -> String {
    match Address::parse(&endpoint, DEFAULT_PORT) {
        Ok(address) => address.to_string(),
        // Refused when it is put to use.
        Err(_) => endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let config = EtcdConfig::new(["h"]).with_login("me", "hunter2").with_request_timeout(Duration::from_secs(1));
        let shown = format!("{config:?}");
        assert!(shown.contains("me") && !shown.contains("hunter2"), "{shown}");
    }
}
