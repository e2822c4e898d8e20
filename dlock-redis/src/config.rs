//! Where the server is and how to talk to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, ConnectContext, Error, ErrorKind, LockBackend, Result};
use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::backend::RedisBackend;

/// How to reach one Redis (7.0 or later) or Valkey server over plain TCP.
///
/// ```
/// # use std::time::Duration;
/// # use dlock_redis::RedisConfig;
/// let config = RedisConfig::from_url("redis://locks:secret@cache.internal:6380/2")?
///     .with_request_timeout(Duration::from_secs(1));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    info: ConnectionInfo,
    request_timeout: Duration,
}

impl RedisConfig {
    /// The server at `address`, which is `host`, `host:port` or `[ipv6]:port`; the port is 6379
    /// unless it is given. A URL is taken too.
    ///
    /// # Errors
    /// `InvalidInput` when the address cannot be read; see [`RedisConfig::from_url`] for URLs.
    pub fn new(address: &str) -> Result<Self> {
        if address.contains("://") { Self::from_url(address) } else { Self::from_url(&format!("redis://{address}")) }
    }

    /// The server at `redis://[[user]:password@]host[:port][/database]`.
    ///
    /// # Errors
    /// `InvalidInput` when the URL cannot be read, `Unsupported` for TLS, Unix sockets, Sentinel
    /// and Cluster. The message never repeats the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        let invalid = |what: &str| {
            let form = "redis://[[user]:password@]host[:port][/database]";
            Error::new(ErrorKind::InvalidInput, format!("{what}; the form is {form}"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("a redis url has a scheme"))?;
        match scheme {
            "redis" | "valkey" => {}
            "rediss" | "valkeys" => return Err(unsupported("tls (rediss://)")),
            "unix" | "redis+unix" | "valkey+unix" => return Err(unsupported("a unix socket")),
            "redis-sentinel" | "redis+sentinel" | "rediss-sentinel" => return Err(unsupported("redis sentinel")),
            "redis-cluster" | "redis+cluster" | "rediss-cluster" => return Err(unsupported("redis cluster")),
            _ => return Err(invalid(&format!("{scheme:?} is not a scheme of redis"))),
        }
        if rest.contains(['?', '#']) {
            return Err(invalid("a redis url takes no query and no fragment"));
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err(invalid("a redis url names a host"));
        }
        if host.contains(',') {
            return Err(unsupported("several redis servers in one url"));
        }
        // The library's own error repeats the URL.
        let info =
            format!("redis://{rest}").into_connection_info().map_err(|_| invalid("the redis url is malformed"))?;
        if !(0..=i64::from(u16::MAX)).contains(&info.redis_settings().db()) {
            return Err(invalid("the database is a small number"));
        }
        Ok(Self { info, request_timeout: Duration::from_secs(2) })
    }

    /// How long a request may take before it counts as unanswered; two seconds by default. It
    /// also bounds connecting.
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Logs in as `user`; an empty user is the server's default user.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        let mut settings = self.info.redis_settings().clone().set_password(password);
        if !user.is_empty() {
            settings = settings.set_username(user);
        }
        self.info = self.info.set_redis_settings(settings);
        self
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.info.redis_settings().username()
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Host and port, for messages.
    pub(crate) fn place(&self) -> String {
        self.info.addr().to_string()
    }

    pub(crate) fn client(&self) -> Result<redis::Client> {
        // Pushes on the connection that carries the requests need RESP3. The library leaves Nagle's
        // algorithm on, which would hold small requests back.
        let settings: RedisConnectionInfo = self.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info =
            self.info.clone().set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        redis::Client::open(info).map_err(crate::error::classify_connecting)
    }
}

#[async_trait]
impl Connect for RedisConfig {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        if self.request_timeout < Duration::from_millis(10) {
            let text = format!("a request timeout of {:?} is too short: use 10ms or more", self.request_timeout);
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(Arc::new(RedisBackend::connect(&self, &context).await?))
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.info.redis_settings();
        f.debug_struct("RedisConfig")
            .field("address", &self.place())
            .field("database", &settings.db())
            .field("user", &settings.username())
            .field("password", &settings.password().map(|_| "***"))
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported yet: use redis://host:port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, place, db, user, password) in [
            ("redis://localhost", "localhost:6379", 0, None, None),
            ("redis://127.0.0.1:7000/3", "127.0.0.1:7000", 3, None, None),
            ("valkey://h", "h:6379", 0, None, None),
            ("redis://:p%40ss@h:1", "h:1", 0, None, Some("p@ss")),
            ("redis://me:pw@h", "h:6379", 0, Some("me"), Some("pw")),
        ] {
            let config = RedisConfig::from_url(url).unwrap();
            let settings = config.info.redis_settings();
            assert_eq!(config.place(), place, "{url}");
            assert_eq!((settings.db(), settings.username(), settings.password()), (db, user, password), "{url}");
        }
        assert_eq!(RedisConfig::new("h:99").unwrap().place(), "h:99");
        assert_eq!(RedisConfig::new("redis://h:99").unwrap().place(), "h:99");
    }

    #[test]
    fn what_cannot_work_says_why_and_keeps_the_password() {
        use ErrorKind::{InvalidInput, Unsupported};
        for (url, kind, why) in [
            ("localhost", InvalidInput, "has a scheme"),
            ("http://u:secret@h", InvalidInput, "\"http\" is not a scheme of redis"),
            ("redis://", InvalidInput, "names a host"),
            ("redis://:secret@", InvalidInput, "names a host"),
            ("redis://u:secret@:77", InvalidInput, "names a host"),
            ("redis://u:secret@h:port", InvalidInput, "malformed"),
            ("redis://u:secret@h/notadb", InvalidInput, "malformed"),
            ("redis://u:secret@h/-1", InvalidInput, "small number"),
            ("redis://u:secret@h/0?tls=1", InvalidInput, "no query"),
            ("rediss://u:secret@h", Unsupported, "tls"),
            ("unix:///run/redis.sock", Unsupported, "unix socket"),
            ("redis-sentinel://u:secret@h", Unsupported, "sentinel"),
            ("redis-cluster://u:secret@h", Unsupported, "cluster"),
            ("redis://u:secret@a:1,b:2", Unsupported, "several"),
        ] {
            let error = RedisConfig::from_url(url).unwrap_err();
            assert_eq!(error.kind(), kind, "{url}: {error}");
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn debug_keeps_the_password() {
        let config = RedisConfig::new("h").unwrap().with_login("me", "secret");
        let shown = format!("{config:?}");
        assert!(shown.contains("me") && shown.contains("***") && !shown.contains("secret"), "{shown}");
    }
}
