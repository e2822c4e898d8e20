//! An etcd server of the test's own.

mod cluster;
mod member;
#[cfg(feature = "etcd")]
mod restore;
mod version;

use std::ops::Deref;
use std::sync::Arc;

pub use self::cluster::{EtcdCluster, EtcdClusterBuilder};
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
}

/// How an [`Etcd`] is started.
#[derive(Clone, Debug, Default)]
pub struct EtcdBuilder {
    version: EtcdVersion,
    args: Vec<String>,
    disk: Option<u64>,
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

    /// Its URL for `dlock::connect`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}", self.node.addr())
    }

    /// Its URL for etcd's own clients and tools.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.node.addr())
    }
}

impl EtcdBuilder {
    /// The version to start instead of the installed one; ask [`EtcdVersion::installed`] first.
    #[must_use]
    pub fn with_version(mut self, version: EtcdVersion) -> Self {
        self.version = version;
        self
    }

    /// Keeps the data on a disk of so many bytes; etcd writes its log in pieces of 64 MB, two at a
    /// time. Ask [`SmallDisk::available`](super::SmallDisk::available) first.
    #[must_use]
    pub fn with_disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// More arguments for the server, such as `["--quota-backend-bytes", "16777216"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
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
        match Node::start(Member::alone(self.version, self.args, self.disk)) {
            Ok(node) => Etcd { node: Arc::new(node) },
            Err(error) => panic!("etcd did not start: {error}"),
        }
    }
}

impl Deref for Etcd {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
