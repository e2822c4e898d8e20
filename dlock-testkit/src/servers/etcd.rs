//! An etcd server of the test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::process::Command;
use std::sync::Arc;

use super::kind::ETCD;
use super::node::{Recipe, Site};
use super::programs::Program;
use super::shared::blocking;
use super::{Node, Skip, probe};

/// The program that is started.
pub(crate) const PROGRAM: Program = Program::Installed("etcd");

/// A running etcd cluster of one member; what can be done with it is on [`Node`].
#[derive(Debug)]
pub struct Etcd {
    node: Arc<Node>,
}

/// How an [`Etcd`] is started.
#[derive(Clone, Debug, Default)]
pub struct EtcdBuilder {
    args: Vec<String>,
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
    /// A [`Skip`] when `etcd` is not installed.
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
        match Node::start(self) {
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

impl Recipe for EtcdBuilder {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn port_count(&self) -> usize {
        2
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let client = format!("http://127.0.0.1:{}", site.ports[0]);
        let peer = format!("http://127.0.0.1:{}", site.ports[1]);
        let name = member_name(site);
        let mut command = PROGRAM.command();
        command.current_dir(site.dir).args(["--name", &name, "--data-dir", "data"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("{name}={peer}"), "--initial-cluster-token", &name]);
        command.args(["--logger", "zap", "--log-level", "warn"]);
        command.args(&self.args);
        command
    }

    /// Healthy means that it has a leader. The member list must have this one's name: another
    /// server may have the port.
    fn probe(&self, site: &Site<'_>, _pid: u32) -> Result<(), String> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0]));
        let health = probe::http(addr, "GET", "/health", "").map_err(|error| error.to_string())?;
        if !health.contains(r#""health":"true""#) {
            return Err(format!("/health answered {health:?}"));
        }
        let members = probe::http(addr, "POST", "/v3/cluster/member/list", "{}").map_err(|error| error.to_string())?;
        if !members.contains(&format!(r#""name":"{}""#, member_name(site))) {
            return Err(format!("the member list is {members:?}"));
        }
        Ok(())
    }
}

/// The directory's name, which is random.
fn member_name(site: &Site<'_>) -> String {
    site.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
