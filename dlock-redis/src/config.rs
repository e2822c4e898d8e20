//! Where the servers are and how to talk to them.

mod servers;
mod tls;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub(crate) use dlock_core::address::Address;
use dlock_core::address::{Login, TlsFiles};
use dlock_core::{Connect, ConnectContext, Error, ErrorKind, LockBackend, Result};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

pub(crate) use self::servers::Servers;
use self::url::Kind;
use crate::backend::RedisBackend;
use crate::error::classify_connecting;
use crate::keys::Bucket;
use crate::server::Topology;

/// How to reach Redis (7.0 or later) or Valkey: one server, a primary that Sentinel watches over,
/// or a cluster.
///
/// ```
/// # use std::time::Duration;
/// # use dlock_redis::RedisConfig;
/// let config = RedisConfig::from_url("redis://locks:secret@cache.internal:6380/2")?
///     .with_request_timeout(Duration::from_secs(1));
/// assert!(!format!("{config:?}").contains("secret"));
///
/// let watched = RedisConfig::sentinel(["10.0.0.1", "10.0.0.2", "10.0.0.3"], "locks")?.with_login("", "secret");
/// let cluster = RedisConfig::cluster(["10.0.0.1:7000", "10.0.0.2:7000"])?;
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    servers: Servers,
    login: Login,
    database: u16,
    /// `None` where nothing is encrypted.
    tls: Option<TlsFiles>,
    replicas: u32,
    request_timeout: Duration,
}

impl RedisConfig {
    /// How the URLs begin that [`RedisConfig::from_url`] reads.
    pub const URL_SCHEMES: &[&str] = url::SCHEMES;
    /// What may follow a URL's `?`, as [`RedisConfig::from_url`] describes.
    pub const URL_OPTIONS: &[&str] =
        &["ca-file", "cert-file", "key-file", "db", "replicas", "sentinel-user", "sentinel-password"];

    /// The server at `address`, which is `host`, `host:port` or `[ipv6]:port`; the port is 6379
    /// unless it is given. A URL is taken too.
    ///
    /// # Errors
    /// `InvalidInput` when the address cannot be read; see [`RedisConfig::from_url`] for URLs.
    pub fn new(address: &str) -> Result<Self> {
        if address.contains("://") {
            return Self::from_url(address);
        }
        Ok(Self::to(Servers::Single(url::read_address(Kind::Single, address)?)))
    }

    /// The server at a socket of this machine.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::to(Servers::Unix(path.into()))
    }

    /// The primary that the sentinels at these addresses know as `service`, and each that they name
    /// after it. The port is 26379 unless it is given. One sentinel that answers is enough.
    ///
    /// # Errors
    /// `InvalidInput` when an address cannot be read, there is none, or the service has no name.
    pub fn sentinel<A: AsRef<str>>(sentinels: impl IntoIterator<Item = A>, service: &str) -> Result<Self> {
        let sentinels = read_all(Kind::Sentinel, sentinels)?;
        let config = Self::to(Servers::Sentinel { sentinels, service: service.to_owned(), login: Login::default() });
        config.check()?;
        Ok(config)
    }

    /// The cluster that these nodes belong to. The port is 6379 unless it is given. One node that
    /// answers is enough, the others are learned from it.
    ///
    /// # Errors
    /// `InvalidInput` when an address cannot be read, or there is none.
    pub fn cluster<A: AsRef<str>>(nodes: impl IntoIterator<Item = A>) -> Result<Self> {
        let config = Self::to(Servers::Cluster(read_all(Kind::Cluster, nodes)?));
        config.check()?;
        Ok(config)
    }

    /// What a URL says:
    ///
    /// | URL | is |
    /// |---|---|
    /// | `redis://[[user]:password@]host[:port][/database]` | one server |
    /// | `redis+unix://[[user]:password@]/path`, `unix:///path` | one server, at a socket of this machine |
    /// | `redis-sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/database]` | as [`RedisConfig::sentinel`]; the login is that of the servers |
    /// | `redis-cluster://[[user]:password@]host[:port][,host[:port]...]` | as [`RedisConfig::cluster`] |
    ///
    /// With `rediss` for `redis` connections are encrypted, those to sentinels too. `valkey` and
    /// `valkeys` mean the same as `redis` and `rediss`. Reserved characters are percent-encoded.
    ///
    /// | option after `?` | is |
    /// |---|---|
    /// | `ca-file`, `cert-file`, `key-file` | whom to trust and what to show, for encrypted connections |
    /// | `db` | the database behind a unix socket |
    /// | `replicas` | as [`RedisConfig::with_replicas`] |
    /// | `sentinel-user`, `sentinel-password` | as [`RedisConfig::with_sentinel_login`] |
    ///
    /// # Errors
    /// `InvalidInput` when the URL cannot be read or its parts cannot be combined. The message never
    /// repeats the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        url::read(url)
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
        self.login = Login::new(user, password);
        self
    }

    /// Logs in to the sentinels as `user`; an empty user is their default user. It changes nothing
    /// where there are no sentinels.
    #[must_use]
    pub fn with_sentinel_login(mut self, user: &str, password: &str) -> Self {
        self.set_sentinel_login(Login::new(user, password));
        self
    }

    /// Encrypts connections to servers at a port, those to sentinels too. A server has to show a
    /// certificate for the host by which it is called, of an authority that the system trusts or
    /// that is in the files.
    ///
    /// It needs the cargo feature `tls`: without it connecting is `Unsupported`.
    #[must_use]
    pub fn with_tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Uses this database; 0 by default, and the only one that a cluster has.
    #[must_use]
    pub fn with_database(mut self, database: u16) -> Self {
        self.database = database;
        self
    }

    /// Hands a grant out only when so many replicas have acknowledged it; none by default.
    ///
    /// Where too few do within half the request timeout, or half the ttl if that is less, the claim
    /// is withdrawn; the acquire tries again and ends with an `Unavailable` error that says how many
    /// did. A lock then costs one more request and the way to the replicas.
    ///
    /// A lock is not lost by a failover to a replica that has acknowledged it. A failover may still
    /// choose one that has not, unless all had to: with `n` replicas asked for, any `n` of more. And
    /// what happens after the grant, renewals and releases, is not waited for: a replica may know
    /// an earlier deadline, or a lock that was released since, which then lapses with its ttl.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(crate) fn replicas(&self) -> u32 {
        self.replicas
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The user that logs in to the servers, if it is not their default user.
    pub(crate) fn user(&self) -> Option<&str> {
        self.login.user()
    }

    /// The nodes of a cluster that are known from the start.
    pub(crate) fn nodes(&self) -> &[Address] {
        if let Servers::Cluster(nodes) = &self.servers { nodes } else { &[] }
    }

    pub(crate) fn topology(&self) -> Topology {
        match &self.servers {
            Servers::Single(_) | Servers::Unix(_) => Topology::Single,
            Servers::Sentinel { .. } => Topology::Sentinel,
            Servers::Cluster(_) => Topology::Cluster,
        }
    }

    /// Into how many buckets names are sorted.
    pub(crate) fn buckets(&self) -> u16 {
        if let Servers::Cluster(_) = &self.servers { Bucket::IN_CLUSTER } else { 1 }
    }

    /// The servers, for messages.
    pub(crate) fn place(&self) -> String {
        self.servers.to_string()
    }

    /// To connect to the server at `address`, which is one of [`RedisConfig::servers`] or was named by them.
    pub(crate) fn client_at(&self, address: &Address) -> Result<Client> {
        self.open(self.entrance(address), &self.login, self.database)
    }

    /// To connect to the server at a socket of this machine.
    pub(crate) fn client_at_socket(&self, path: PathBuf) -> Result<Client> {
        self.open(ConnectionAddr::Unix(path), &self.login, self.database)
    }

    /// To connect to a sentinel.
    pub(crate) fn client_at_sentinel(&self, address: &Address) -> Result<Client> {
        let Servers::Sentinel { login, .. } = &self.servers else {
            return Err(Error::new(ErrorKind::Internal, "a sentinel is asked where there are none"));
        };
        self.open(self.entrance(address), login, 0)
    }

    /// Everything but the servers as it is by default.
    fn to(servers: Servers) -> Self {
        let request_timeout = Duration::from_secs(2);
        Self { servers, login: Login::default(), database: 0, tls: None, replicas: 0, request_timeout }
    }

    fn set_sentinel_login(&mut self, new: Login) {
        if let Servers::Sentinel { login, .. } = &mut self.servers {
            *login = new;
        }
    }

    /// Refuses parts that cannot be combined.
    fn check(&self) -> Result<()> {
        let invalid = |text: &str| Err(Error::new(ErrorKind::InvalidInput, text));
        match &self.servers {
            Servers::Sentinel { sentinels, .. } if sentinels.is_empty() => return invalid("there are no sentinels"),
            Servers::Sentinel { service, .. } if service.is_empty() => {
                return invalid("the service has no name, by which the sentinels know the primary");
            }
            Servers::Cluster(nodes) if nodes.is_empty() => return invalid("there are no nodes of the cluster"),
            Servers::Cluster(_) if self.database != 0 => {
                return invalid("a redis cluster has only database 0: leave it out");
            }
            _ => {}
        }
        if self.request_timeout < Duration::from_millis(10) {
            return invalid(&format!("a request timeout of {:?} is too short: use 10ms or more", self.request_timeout));
        }
        Ok(())
    }

    fn entrance(&self, address: &Address) -> ConnectionAddr {
        let (host, port) = (address.host.clone(), address.port);
        match &self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        }
    }

    fn open(&self, addr: ConnectionAddr, login: &Login, database: u16) -> Result<Client> {
        // Pushes on the connection that carries the requests need RESP3. The library leaves Nagle's
        // algorithm on, which would hold small requests back.
        // A user of few rights may not name its library, and servers write down what they refuse (ACL LOG).
        let settings = RedisConnectionInfo::default().set_db(database.into()).set_protocol(ProtocolVersion::RESP3);
        let settings = settings.set_skip_set_lib_name();
        let info = addr.into_connection_info().map_err(classify_connecting)?;
        let info =
            info.set_redis_settings(log_in(login, settings)).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        match &self.tls {
            None => Client::open(info).map_err(classify_connecting),
            Some(files) => tls::client(files, info),
        }
    }
}

#[async_trait]
impl Connect for RedisConfig {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        self.check()?;
        Ok(Arc::new(RedisBackend::connect(&self, &context).await?))
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("servers", &self.servers)
            .field("login", &self.login)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("replicas", &self.replicas)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

fn log_in(login: &Login, mut settings: RedisConnectionInfo) -> RedisConnectionInfo {
    if let Some(user) = login.user() {
        settings = settings.set_username(user);
    }
    if let Some(password) = login.password() {
        settings = settings.set_password(password);
    }
    settings
}

fn read_all<A: AsRef<str>>(kind: Kind, addresses: impl IntoIterator<Item = A>) -> Result<Vec<Address>> {
    addresses.into_iter().map(|address| url::read_address(kind, address.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_says_what_urls_say() {
        assert_eq!(RedisConfig::new("h:99").unwrap().place(), "h:99");
        assert_eq!(RedisConfig::new("[::1]").unwrap().place(), "[::1]:6379");
        assert_eq!(RedisConfig::new("redis://h:99").unwrap().place(), "h:99");
        let url = |url| format!("{:?}", RedisConfig::from_url(url).unwrap());
        let same = |config: RedisConfig| format!("{config:?}");
        assert_eq!(url("unix:///r.sock?db=3"), same(RedisConfig::unix("/r.sock").with_database(3)));
        let watched = RedisConfig::sentinel(["a", "b:1"], "s").unwrap();
        assert_eq!(
            url("redis-sentinel://u:p@a,b:1/s/2?sentinel-user=v&sentinel-password=q&replicas=1"),
            same(watched.with_login("u", "p").with_database(2).with_sentinel_login("v", "q").with_replicas(1))
        );
        let files = TlsFiles::none().with_ca("a").with_certificate("c", "k");
        let encrypted = RedisConfig::new("h").unwrap().with_tls(files);
        assert_eq!(url("rediss://h?ca-file=a&cert-file=c&key-file=k"), same(encrypted));
        assert_eq!(url("redis-cluster://a,[::1]:7"), same(RedisConfig::cluster(["a", "[::1]:7"]).unwrap()));
    }

    #[test]
    fn what_code_cannot_say_says_why() {
        let none: [&str; 0] = [];
        for (config, why) in [
            (RedisConfig::new("h:port"), "a port is a number"),
            (RedisConfig::sentinel(none, "s"), "there are no sentinels"),
            (RedisConfig::sentinel(["a"], ""), "the service has no name"),
            (RedisConfig::cluster(none), "no nodes"),
        ] {
            let error = config.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn debug_keeps_the_passwords() {
        let config = RedisConfig::sentinel(["a"], "s").unwrap().with_login("me", "secret");
        let shown = format!("{:?}", config.with_sentinel_login("watcher", "secret"));
        assert!(shown.contains("me") && shown.contains("watcher") && shown.contains("***"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
