//! An etcd server of the test's own.

mod ask;
mod cluster;
mod entrance;
mod login;
mod member;
#[cfg(feature = "etcd")]
pub(crate) mod operator;
#[cfg(feature = "etcd")]
mod restore;
mod version;

use std::ops::Deref;
use std::sync::Arc;

pub use self::cluster::{EtcdCluster, EtcdClusterBuilder};
use self::entrance::Entrance;
use self::login::Login;
use self::member::Member;
#[cfg(feature = "etcd")]
pub use self::restore::EtcdSnapshot;
pub use self::version::EtcdVersion;
use super::kind::ETCD;
use super::shared::blocking;
use super::{Node, Skip};

/// A running etcd cluster of one member; what can be done with it is on [`Node`].
#[derive(Debug)]
pub struct Etcd {
    node: Arc<Node>,
    entrance: Entrance,
    login: Option<Login>,
}

/// How an [`Etcd`] is started.
#[derive(Clone, Debug, Default)]
pub struct EtcdBuilder {
    member: Member,
    login: Option<Login>,
}

impl Etcd {
    /// Starts a cluster of one member.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Whether one can be started here: a test that needs its own asks this first.
    ///
    /// # Errors
    /// A [`Skip`] when `etcd` is not installed. For other versions ask [`EtcdVersion::installed`].
    ///
    /// # Panics
    /// When it is not installed though `DLOCK_REQUIRE` names `etcd`; not so where tests run
    /// against the server at `DLOCK_TEST_ETCD`.
    pub fn installed() -> Result<(), Skip> {
        ETCD.require_installed()
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> EtcdBuilder {
        EtcdBuilder::default()
    }

    /// Kills it, if it runs, and starts it again with its data, on its ports; returns when it serves.
    ///
    /// # Panics
    /// When it does not come up again; the message has the end of its log.
    pub async fn restart(&self) {
        let node = self.node.clone();
        blocking(move || node.restart_blocking()).await;
    }

    /// Its URL for `dlock::connect`, with the login if it asks for one, and with the files that TLS takes.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for(&self.login.as_ref().map(Login::in_url).unwrap_or_default())
    }

    /// The same without user and password, for clients that are known by their certificate.
    #[must_use]
    pub fn url_without_login(&self) -> String {
        self.url_for("")
    }

    /// The same for root, who may do everything, if it asks for a login.
    #[must_use]
    pub fn operator_url(&self) -> String {
        self.url_for(&self.login.as_ref().map(|_| Login::of_root()).unwrap_or_default())
    }

    /// A new connection of root's.
    ///
    /// # Panics
    /// When it does not serve.
    #[cfg(feature = "etcd")]
    pub async fn operator(&self) -> etcd_client::Client {
        let connected = operator::connect(&self.operator_url()).await;
        connected.expect("a server that has been started serves its operator")
    }

    /// Its URL for etcd's own clients and tools.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.entrance.protocol(), self.node.addr())
    }

    fn url_for(&self, login: &str) -> String {
        self.entrance.url(login, &[self.node.addr()], self.node.dir())
    }
}

impl EtcdBuilder {
    /// The version to start instead of the installed one; ask [`EtcdVersion::installed`] first.
    #[must_use]
    pub fn with_version(mut self, version: EtcdVersion) -> Self {
        self.member.version = version;
        self
    }

    /// Speaks TLS on its port, and nothing else: its certificate, for `127.0.0.1`, is of an authority
    /// of its own, which its URL names.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.member.entrance = Entrance::Tls { client: None };
        self
    }

    /// As [`EtcdBuilder::with_tls`], and clients must show a certificate too: its URL names one, of
    /// this user. Clients that log in without user and password are taken for the user.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls_both_ways(mut self, user: &str) -> Self {
        self.member.entrance = Entrance::Tls { client: Some(user.to_owned()) };
        self
    }

    /// Asks for logins: its URL is for this user, who may read and write the keys that begin with
    /// `prefix`, which may be empty, and do nothing else. Name and password are made of letters and digits.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str, prefix: &str) -> Self {
        self.login = Some(Login::new(user, password, prefix));
        self.with_args(login::CHEAP)
    }

    /// Keeps the data on a disk of so many bytes; etcd writes its log in pieces of 64 MB, two at a
    /// time. Ask [`SmallDisk::available`](super::SmallDisk::available) first.
    #[must_use]
    pub fn with_disk(mut self, bytes: u64) -> Self {
        self.member.disk = Some(bytes);
        self
    }

    /// More arguments for the server, such as `["--quota-backend-bytes", "16777216"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.member.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the server and returns when it serves.
    ///
    /// # Panics
    /// When it does not; the message has the end of its log.
    pub async fn start(self) -> Etcd {
        blocking(move || self.start_blocking()).await
    }

    /// [`EtcdBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> Etcd {
        let entrance = self.member.entrance.clone();
        let node = match Node::start(self.member) {
            Ok(node) => Arc::new(node),
            Err(error) => panic!("etcd did not start: {error}"),
        };
        if let Some(login) = &self.login {
            login.require(node.dir());
        }
        Etcd { node, entrance, login: self.login }
    }
}

impl Deref for Etcd {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
