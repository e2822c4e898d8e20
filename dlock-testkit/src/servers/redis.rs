//! A Redis server of the test's own.

mod ask;
mod cluster;
mod data_node;
mod entrance;
mod program;
mod sentinel;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use self::cluster::{RedisCluster, RedisClusterBuilder};
use self::data_node::{DataNode, User};
use self::entrance::Entrance;
pub use self::program::RedisProgram;
pub use self::sentinel::{RedisSentinel, RedisSentinelBuilder};
use super::kind::REDIS;
use super::shared::blocking;
use super::{Node, Skip, clock};

const STEPPABLE: &str = "the server was started with a steppable clock";

/// A running Redis server; what can be done with it is on [`Node`].
#[derive(Debug)]
pub struct Redis {
    node: Arc<Node>,
    entrance: Entrance,
    /// Of the default user.
    password: Option<String>,
    /// For the user whom clients are, if it is not the default user.
    login: Option<String>,
}

/// How a [`Redis`] is started.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    node: DataNode,
}

impl Redis {
    /// Starts a server that keeps its data in memory only.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Whether one can be started here: a test that needs its own asks this first.
    ///
    /// # Errors
    /// A [`Skip`] when `redis-server` is not installed. For Valkey ask [`RedisProgram::installed`].
    ///
    /// # Panics
    /// When it is not installed though `DLOCK_REQUIRE` names `redis`; not so where tests run
    /// against the server at `DLOCK_TEST_REDIS`.
    pub fn installed() -> Result<(), Skip> {
        REDIS.require_installed()
    }

    /// Whether a server can be started here whose clock can be stepped.
    ///
    /// # Errors
    /// A [`Skip`] when there is no C compiler, `cc`.
    ///
    /// # Panics
    /// When there is none though `DLOCK_REQUIRE` names `cc`.
    pub fn can_step_clocks() -> Result<(), Skip> {
        clock::installed()
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Kills it, if it runs, and starts it again with its data, on its ports; returns when it serves.
    ///
    /// # Panics
    /// When it does not come up again; the message has the end of its log.
    pub async fn restart(&self) {
        let node = self.node.clone();
        blocking(move || node.restart_blocking()).await;
    }

    /// Sets its wall clock ahead, at once. Keys expire by that clock.
    ///
    /// # Panics
    /// When it was started without [`RedisBuilder::with_steppable_clock`].
    pub fn step_clock_ahead(&self, by: Duration) {
        clock::step_ahead(self.node.dir(), by).expect(STEPPABLE);
    }

    /// Sets its wall clock back, at once.
    ///
    /// # Panics
    /// When it was started without [`RedisBuilder::with_steppable_clock`].
    pub fn step_clock_back(&self, by: Duration) {
        clock::step_back(self.node.dir(), by).expect(STEPPABLE);
    }

    /// Its URL for `dlock::connect`, with the login if it asks for one.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.login {
            Some(login) => self.url_for(login),
            None => self.operator_url(),
        }
    }

    /// The same for its default user, who may do everything.
    #[must_use]
    pub fn operator_url(&self) -> String {
        self.url_for(&self.password.iter().map(|password| format!(":{password}@")).collect::<String>())
    }

    fn url_for(&self, login: &str) -> String {
        self.entrance.url(login, self.node.addr(), self.node.dir())
    }
}

impl RedisBuilder {
    /// The program to start instead of Redis; ask [`RedisProgram::installed`] first.
    #[must_use]
    pub fn with_program(mut self, program: RedisProgram) -> Self {
        self.node.program = program;
        self
    }

    /// Keeps the data over a kill: every write is in the append-only file before it is answered.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.node.is_append_only = true;
        self
    }

    /// Speaks TLS on its port, and nothing else: its certificate, for `127.0.0.1`, is of an authority of
    /// its own, which its URL names.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.node.entrance = Entrance::Tls { both_ways: false };
        self
    }

    /// As [`RedisBuilder::with_tls`], and clients must show a certificate too: its URL names one.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls_both_ways(mut self) -> Self {
        self.node.entrance = Entrance::Tls { both_ways: true };
        self
    }

    /// Listens on a socket in its directory instead of a port: nothing is at [`Node::addr`] then.
    #[must_use]
    pub fn on_unix_socket(mut self) -> Self {
        self.node.entrance = Entrance::Socket;
        self
    }

    /// Has one more user, of whose password and `rules` nothing is set but these, such as
    /// `["~dlock:*", "+@all"]`; its URL is for the first one. Name and password are made of letters
    /// and digits.
    #[must_use]
    pub fn with_user<I: IntoIterator<Item: Into<String>>>(mut self, name: &str, password: &str, rules: I) -> Self {
        let rules = rules.into_iter().map(Into::into).collect();
        self.node.users.push(User { name: name.to_owned(), password: password.to_owned(), rules });
        self
    }

    /// Asks clients for a password, made of letters and digits.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.node.password = Some(password.to_owned());
        self
    }

    /// Refuses writes that would need more memory than this, as a server does that evicts nothing.
    #[must_use]
    pub fn with_max_memory(self, bytes: u64) -> Self {
        self.with_args(["--maxmemory", &bytes.to_string(), "--maxmemory-policy", "noeviction"])
    }

    /// Keeps its files on a disk of so many bytes; ask [`SmallDisk::available`](super::SmallDisk::available) first.
    #[must_use]
    pub fn with_disk(mut self, bytes: u64) -> Self {
        self.node.disk = Some(bytes);
        self
    }

    /// Gives it a wall clock that can be stepped; ask [`Redis::can_step_clocks`] first.
    #[must_use]
    pub fn with_steppable_clock(mut self) -> Self {
        self.node.has_own_clock = true;
        self
    }

    /// More arguments for the server, such as `["--maxclients", "10"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.node.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the server and returns when it serves.
    ///
    /// # Panics
    /// When it does not; the message has the end of its log.
    pub async fn start(self) -> Redis {
        blocking(move || self.start_blocking()).await
    }

    /// [`RedisBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> Redis {
        let (program, entrance, password) =
            (self.node.program.program(), self.node.entrance, self.node.password.clone());
        let login = self.node.users.first().map(|user| format!("{}:{}@", user.name, user.password));
        match Node::start(self.node) {
            Ok(node) => Redis { node: Arc::new(node), entrance, password, login },
            Err(error) => panic!("{program} did not start: {error}"),
        }
    }
}

impl Deref for Redis {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
