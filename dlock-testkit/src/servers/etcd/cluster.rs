//! An etcd cluster of the test's own.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::EtcdVersion;
use super::ask::ask;
use super::entrance::Entrance;
use super::login::{CHEAP, Login};
use super::member::{Member, Place};
#[cfg(feature = "etcd")]
use super::operator;
use crate::servers::Node;
use crate::servers::members::{Members, ask_each};
use crate::servers::patience::until;
use crate::servers::shared::blocking;

/// How many members a cluster has.
const SIZE: usize = 3;
/// Which of a member's ports is the one for its peers.
const PEER_PORT: usize = 1;

/// A running etcd cluster of three members; what can be done with them is on [`Members`].
#[derive(Debug)]
pub struct EtcdCluster {
    members: Members,
    login: Option<Login>,
}

/// How an [`EtcdCluster`] is started.
#[derive(Clone, Debug, Default)]
pub struct EtcdClusterBuilder {
    version: EtcdVersion,
    args: Vec<String>,
    disk: Option<u64>,
    login: Option<Login>,
}

impl EtcdCluster {
    /// Starts three members of the installed version; ask [`EtcdVersion::installed`] first.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> EtcdClusterBuilder {
        EtcdClusterBuilder::default()
    }

    /// Its URL for `dlock::connect`, with all members, and with the login if they ask for one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for(&self.login.as_ref().map(Login::in_url).unwrap_or_default())
    }

    /// The same for root, who may do everything, if they ask for a login.
    #[must_use]
    pub fn operator_url(&self) -> String {
        self.url_for(&self.login.as_ref().map(|_| Login::of_root()).unwrap_or_default())
    }

    /// A new connection of root's, to all members.
    ///
    /// # Panics
    /// When they do not serve.
    #[cfg(feature = "etcd")]
    pub async fn operator(&self) -> etcd_client::Client {
        let connected = operator::connect(&self.operator_url()).await;
        connected.expect("members that have been started serve their operator")
    }

    /// The URLs of all members for etcd's own clients and tools.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.addrs().iter().map(|addr| format!("http://{addr}")).collect()
    }

    /// Which member leads now: it answers and says so itself, and so does a majority. `None` while
    /// there is none, as in an election.
    ///
    /// A leader that has just been cut off is still named until the others miss it, which takes
    /// them an election timeout, a second by default.
    pub async fn leader(&self) -> Option<usize> {
        let nodes = self.nodes().clone();
        blocking(move || leader(&nodes)).await
    }

    /// [`EtcdCluster::leader`] for code without async.
    #[must_use]
    pub fn leader_blocking(&self) -> Option<usize> {
        leader(self.nodes())
    }

    /// Waits until a member leads that is not `but`.
    ///
    /// # Panics
    /// When none does within a minute.
    ///
    /// # Cancel safety
    /// Nothing happens but asking.
    pub async fn wait_for_leader(&self, but: Option<usize>) -> usize {
        let nodes = self.nodes().clone();
        blocking(move || {
            until(|| {
                let found = leader(&nodes).filter(|found| Some(*found) != but);
                found.ok_or_else(|| format!("no member but {but:?} leads"))
            })
        })
        .await
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        (0..self.count()).map(|member| self.addr(member)).collect()
    }

    fn url_for(&self, login: &str) -> String {
        Entrance::Plain.url(login, &self.addrs(), self.node(0).dir())
    }
}

impl EtcdClusterBuilder {
    /// The version to start instead of the installed one; ask [`EtcdVersion::installed`] first.
    #[must_use]
    pub fn with_version(mut self, version: EtcdVersion) -> Self {
        self.version = version;
        self
    }

    /// Gives each member a disk of its own, see [`EtcdBuilder::with_disk`](super::EtcdBuilder::with_disk).
    #[must_use]
    pub fn with_disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// Asks for logins, see [`EtcdBuilder::with_login`](super::EtcdBuilder::with_login).
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str, prefix: &str) -> Self {
        self.login = Some(Login::new(user, password, prefix));
        self.with_args(CHEAP)
    }

    /// More arguments for each member, such as `["--election-timeout", "2000"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the members and returns when each serves.
    ///
    /// # Panics
    /// When one does not; the message has the end of its log.
    pub async fn start(self) -> EtcdCluster {
        blocking(move || self.start_blocking()).await
    }

    /// [`EtcdClusterBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When one does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> EtcdCluster {
        let cluster = format!("dlock-{:016x}", RandomState::new().hash_one(0_u8));
        let started = Members::start(SIZE, &[PEER_PORT], |member, ports| {
            let peers = ports.iter().map(|of_one| of_one[0]).collect();
            let place = Place { cluster: cluster.clone(), member, peers };
            let (version, args, disk) = (self.version, self.args.clone(), self.disk);
            Member { version, args, disk, place: Some(place), ..Member::default() }
        });
        let members = started.unwrap_or_else(|error| panic!("the etcd cluster did not start: {error}"));
        if let Some(login) = &self.login {
            login.require(members.node(0).dir());
        }
        EtcdCluster { members, login: self.login }
    }
}

impl Deref for EtcdCluster {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    /// What it calls itself: another name in a cluster that was restored.
    member: u64,
    /// 0 where it knows none.
    leader: u64,
    term: u64,
}

impl Status {
    /// `None` where it does not answer.
    fn of(node: &Node) -> Option<Self> {
        let status = ask(node.dir(), "POST", "/v3/maintenance/status", "{}").ok()?;
        let status: Value = serde_json::from_str(&status).ok()?;
        // Numbers of 64 bits are text in JSON; zero is left out.
        let number = |value: &Value| value.as_str().map_or(Some(0), |text| text.parse().ok());
        Some(Self {
            member: number(&status["header"]["member_id"])?,
            leader: number(&status["leader"])?,
            term: number(&status["raftTerm"])?,
        })
    }
}

fn leader(nodes: &[Arc<Node>]) -> Option<usize> {
    let statuses = ask_each(nodes, Status::of);
    (0..nodes.len()).find(|member| leads(*member, &statuses))
}

fn leads(member: usize, statuses: &[Option<Status>]) -> bool {
    let Some(own) = statuses[member].filter(|own| own.leader == own.member) else { return false };
    let agreeing = statuses.iter().flatten().filter(|other| (other.leader, other.term) == (own.leader, own.term));
    agreeing.count() > statuses.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_whom_a_majority_of_one_term_names() {
        let says = |member, leader, term| Some(Status { member, leader, term });
        let leader = |statuses: [Option<Status>; 3]| (0..3).find(|member| leads(*member, &statuses));
        assert_eq!(leader([says(10, 20, 1), says(20, 20, 1), says(30, 20, 1)]), Some(1));
        assert_eq!(leader([says(10, 10, 1), says(20, 20, 2), says(30, 20, 2)]), Some(1), "the old one is cut off");
        assert_eq!(leader([says(10, 10, 1), says(20, 0, 2), says(30, 0, 2)]), None, "an election");
        assert_eq!(leader([None, says(20, 10, 1), says(30, 10, 1)]), None, "it was killed, and not yet missed");
    }
}
