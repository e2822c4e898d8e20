//! A ZooKeeper server of the test's own.

mod cluster;
mod member;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use self::cluster::{ZooKeeperCluster, ZooKeeperClusterBuilder};
use self::member::Member;
pub(crate) use self::member::PROGRAM;
use super::kind::ZOOKEEPER;
use super::shared::blocking;
use super::{Node, Skip};

/// A running ZooKeeper server on its own; what can be done with it is on [`Node`].
///
/// It has nodes with a time to live and container nodes, and answers all four-letter words.
#[derive(Debug)]
pub struct ZooKeeper {
    node: Arc<Node>,
}

/// How a [`ZooKeeper`] is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZooKeeperBuilder {
    tick: Tick,
}

impl ZooKeeper {
    /// Starts a server.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Whether one can be started here, or a [`ZooKeeperCluster`]: a test that needs its own asks this first.
    ///
    /// # Errors
    /// A [`Skip`] when Java or ZooKeeper is not installed.
    ///
    /// # Panics
    /// When one is not installed though `DLOCK_REQUIRE` names `zookeeper`; not so where tests run
    /// against the server at `DLOCK_TEST_ZOOKEEPER`.
    pub fn installed() -> Result<(), Skip> {
        ZOOKEEPER.require_installed()
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> ZooKeeperBuilder {
        ZooKeeperBuilder::default()
    }

    /// Kills it, if it runs, and starts it again with its data, on its ports; returns when it serves.
    ///
    /// # Panics
    /// When it does not come up again; the message has the end of its log.
    pub async fn restart(&self) {
        let node = self.node.clone();
        blocking(move || node.restart_blocking()).await;
    }

    /// Its URL for `dlock::connect`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("zookeeper://{}", self.node.addr())
    }
}

impl ZooKeeperBuilder {
    /// The server's unit of time, 500 ms if not said: a session's timeout is at least two of it.
    #[must_use]
    pub fn with_tick(mut self, tick: Duration) -> Self {
        self.tick = Tick(tick);
        self
    }

    /// Starts the server and returns when it serves.
    ///
    /// # Panics
    /// When it does not; the message has the end of its log.
    pub async fn start(self) -> ZooKeeper {
        blocking(move || self.start_blocking()).await
    }

    /// [`ZooKeeperBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> ZooKeeper {
        match Node::start(Member::alone(self.tick)) {
            Ok(node) => ZooKeeper { node: Arc::new(node) },
            Err(error) => panic!("ZooKeeper did not start: {error}"),
        }
    }
}

impl Deref for ZooKeeper {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// A server's unit of time.
#[derive(Clone, Copy, Debug)]
struct Tick(Duration);

impl Default for Tick {
    fn default() -> Self {
        Self(Duration::from_millis(500))
    }
}
