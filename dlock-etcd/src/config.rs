//! How to reach etcd.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, ConnectContext, Error, ErrorKind, LockBackend, Result};
use etcd_client::ConnectOptions;

use crate::backend::EtcdBackend;
use crate::peer::speaks_http2_or;
use crate::rpc::Rpc;

const DEFAULT_PORT: u16 = 2379;

/// Where an etcd cluster is and how to log in: what `Locks::builder` takes.
///
/// ```
/// # use dlock_etcd::EtcdConfig;
/// let config = EtcdConfig::from_url("etcd://locks:secret@10.0.0.1,10.0.0.2:2479")?;
/// assert_eq!(config.endpoints(), ["10.0.0.1:2379", "10.0.0.2:2479"]);
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Clone)]
pub struct EtcdConfig {
    endpoints: Vec<String>,
    login: Option<(String, String)>,
    request_timeout: Duration,
}

impl EtcdConfig {
    /// A cluster by its endpoints, each `host` or `host:port`.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| with_port(&endpoint.into())).collect();
        Self { endpoints, login: None, request_timeout: Duration::from_secs(5) }
    }

    /// A cluster by its URL: `etcd://[user:password@]host[:port][,host[:port]…]`.
    ///
    /// Reserved characters in user and password are percent-encoded.
    ///
    /// # Errors
    /// `InvalidInput`, with what is wrong, when the URL is not of this form.
    pub fn from_url(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("etcd://") else {
            let tls = url.starts_with("etcds://") || url.starts_with("https://");
            return Err(invalid(if tls {
                "tls is not supported yet: use etcd:// on a trusted network"
            } else {
                "it does not start with etcd://"
            }));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(invalid("only user, password and endpoints are allowed in it: remove path and query"));
        }
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, rest),
        };
        for host in hosts.split(',') {
            check_endpoint(host)?;
        }
        let config = Self::new(hosts.split(','));
        let Some(login) = login else { return Ok(config) };
        let (user, password) =
            login.split_once(':').ok_or_else(|| invalid("the password is missing: write etcd://user:password@host"))?;
        let (user, password) = (percent_decoded(user)?, percent_decoded(password)?);
        if user.is_empty() {
            return Err(invalid("the user is empty"));
        }
        Ok(config.with_login(user, password))
    }

    /// Logs in with a user and a password.
    #[must_use]
    pub fn with_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
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

    async fn open(&self, context: &ConnectContext) -> Result<Rpc> {
        let prefix = format!("{}/", context.namespace);
        Rpc::open(self.endpoints.clone(), self.options(), prefix, context.clock.clone(), self.request_timeout).await
    }

    /// How to log in.
    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        match &self.login {
            Some((user, password)) => options.with_user(user, password),
            None => options,
        }
    }
}

#[async_trait]
impl Connect for EtcdConfig {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        if self.endpoints.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "no etcd endpoint is given"));
        }
        for endpoint in &self.endpoints {
            check_endpoint(endpoint)?;
        }
        if self.request_timeout.is_zero() {
            return Err(Error::new(ErrorKind::InvalidInput, "the request timeout of etcd must not be zero"));
        }
        let rpc = match self.open(&context).await {
            Ok(rpc) => rpc,
            Err(error) => {
                let error = error.context(format!("connecting to etcd at {}", self.endpoints.join(",")));
                return Err(speaks_http2_or(error, &self.endpoints).await);
            }
        };
        Ok(Arc::new(EtcdBackend::new(rpc, &context.namespace)))
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("login", &self.login.as_ref().map(|(user, _)| (user, "<redacted>")))
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

fn invalid(problem: &str) -> Error {
    // The URL itself may hold a password: it is not repeated.
    Error::new(ErrorKind::InvalidInput, format!("the etcd URL cannot be used: {problem}"))
}

fn with_port(endpoint: &str) -> String {
    let has_port = match endpoint.strip_prefix('[') {
        Some(v6) => v6.split_once(']').is_some_and(|(_, rest)| rest.starts_with(':')),
        None => endpoint.contains(':'),
    };
    if has_port { endpoint.to_owned() } else { format!("{endpoint}:{DEFAULT_PORT}") }
}

/// Refuses what is not `host`, `host:port` or the same with a bracketed IPv6 address.
fn check_endpoint(endpoint: &str) -> Result<()> {
    let full = with_port(endpoint);
    let (host, port) = full.rsplit_once(':').unwrap_or((&full, ""));
    let plain = |host: &str| {
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    if !plain(host) && !bracketed {
        return Err(invalid(&format!("{endpoint:?} is not a host or host:port")));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(invalid(&format!("{port:?} is not a port from 1 to 65535"))),
    }
}

fn percent_decoded(text: &str) -> Result<String> {
    let broken = || invalid("user or password has a broken percent-encoding");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let (code, tail) = tail.split_at_checked(2).ok_or_else(broken)?;
        let code = std::str::from_utf8(code).ok().filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.push(code.and_then(|code| u8::from_str_radix(code, 16).ok()).ok_or_else(broken)?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, endpoints, login) in [
            ("etcd://localhost", vec!["localhost:2379"], None),
            ("etcd://a:1,b,[::1],[::1]:4/", vec!["a:1", "b:2379", "[::1]:2379", "[::1]:4"], None),
            ("etcd://me:p%40ss%3Aword@h:7", vec!["h:7"], Some(("me", "p@ss:word"))),
            ("etcd://me:@h", vec!["h:2379"], Some(("me", ""))),
        ] {
            let config = EtcdConfig::from_url(url).unwrap();
            assert_eq!(config.endpoints, endpoints);
            assert_eq!(config.login, login.map(|(user, password)| (user.to_owned(), password.to_owned())));
        }
    }

    #[test]
    fn bad_urls_say_why_and_keep_the_secret() {
        for (url, why) in [
            ("redis://h", "does not start with etcd://"),
            ("etcds://h", "tls is not supported yet"),
            ("etcd://", "is not a host"),
            ("etcd://a,,b", "is not a host"),
            ("etcd://h:0", "is not a port"),
            ("etcd://h:99999", "is not a port"),
            ("etcd://::1", "is not a host"),
            ("etcd://h o", "is not a host"),
            ("etcd://h/path", "remove path and query"),
            ("etcd://h?tls=1", "remove path and query"),
            ("etcd://secret@h", "the password is missing"),
            ("etcd://:secret@h", "the user is empty"),
            ("etcd://me:secret%4@h", "broken percent-encoding"),
            ("etcd://me:secret%zz@h", "broken percent-encoding"),
        ] {
            let error = EtcdConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let config = EtcdConfig::new(["h"]).with_login("me", "hunter2").with_request_timeout(Duration::from_secs(1));
        let shown = format!("{config:?}");
        assert!(shown.contains("me") && !shown.contains("hunter2"), "{shown}");
    }
}
