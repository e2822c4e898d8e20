//! A Consul server of the test's own.

mod cluster;
mod member;

use std::ops::Deref;
use std::sync::Arc;

pub use self::cluster::{ConsulCluster, ConsulClusterBuilder};
use self::member::Member;
pub(crate) use self::member::PROGRAM;
use super::kind::CONSUL;
use super::shared::blocking;
use super::{Node, Skip};

/// A running Consul server on its own; what can be done with it is on [`Node`].
#[derive(Debug)]
pub struct Consul {
    node: Arc<Node>,
}

/// How a [`Consul`] is started.
#[derive(Clone, Debug, Default)]
pub struct ConsulBuilder {
    args: Vec<String>,
}

impl Consul {
    /// Starts a server.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Whether one can be started here, or a [`ConsulCluster`]: a test that needs its own asks this first.
    ///
    /// # Errors
    /// A [`Skip`] when `consul` is neither installed nor unpacked by `scripts/setup`.
    ///
    /// # Panics
    /// When it is not there though `DLOCK_REQUIRE` names `consul`; not so where tests run against
    /// the server at `DLOCK_TEST_CONSUL`.
    pub fn installed() -> Result<(), Skip> {
        CONSUL.require_installed()
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> ConsulBuilder {
        ConsulBuilder::default()
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
        format!("consul://{}", self.node.addr())
    }

    /// Its URL for Consul's own clients and tools.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.node.addr())
    }
}

impl ConsulBuilder {
    /// More arguments for the agent, such as `["-hcl", "session_ttl_min = \"1s\""]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the server and returns when it serves.
    ///
    /// # Panics
    /// When it does not; the message has the end of its log.
    pub async fn start(self) -> Consul {
        blocking(move || self.start_blocking()).await
    }

    /// [`ConsulBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> Consul {
        match Node::start(Member::alone(self.args)) {
            Ok(node) => Consul { node: Arc::new(node) },
            Err(error) => panic!("consul did not start: {error}"),
        }
    }
}

impl Deref for Consul {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
