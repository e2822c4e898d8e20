//! A Consul cluster of the test's own.

use std::ops::Deref;
use std::sync::Arc;

use super::member::{Member, Place};
use crate::servers::members::{Members, ask_each};
use crate::servers::patience::until;
use crate::servers::shared::blocking;
use crate::servers::{Node, probe};

/// How many members a cluster has.
const SIZE: usize = 3;

/// A running Consul cluster of three servers; what can be done with them is on [`Members`].
///
/// A server that is cut off by [`Members::isolate`] hears no more of Raft, nor of requests that
/// servers pass on to the leader; gossip still passes, so the others count it as healthy.
#[derive(Debug)]
pub struct ConsulCluster {
    members: Members,
    /// By member, as they name each other in Raft.
    raft_addrs: Vec<String>,
}

/// How a [`ConsulCluster`] is started.
#[derive(Clone, Debug, Default)]
pub struct ConsulClusterBuilder {
    args: Vec<String>,
}

impl ConsulCluster {
    /// Starts three servers; ask [`Consul::installed`](super::Consul::installed) first.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> ConsulClusterBuilder {
        ConsulClusterBuilder::default()
    }

    /// Its URL for `dlock::connect`, with all members.
    #[must_use]
    pub fn url(&self) -> String {
        let addrs: Vec<String> = (0..self.count()).map(|member| self.addr(member).to_string()).collect();
        format!("consul://{}", addrs.join(","))
    }

    /// The URLs of all members for Consul's own clients and tools.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.count()).map(|member| format!("http://{}", self.addr(member))).collect()
    }

    /// Which member leads now: it answers and says so itself, and so does a majority. `None` while
    /// there is none, as in an election.
    ///
    /// A leader that has just been cut off is still named until the others miss it, which takes
    /// them an election timeout, one to two seconds.
    pub async fn leader(&self) -> Option<usize> {
        let (nodes, raft_addrs) = (self.nodes().clone(), self.raft_addrs.clone());
        blocking(move || leader(&nodes, &raft_addrs)).await
    }

    /// [`ConsulCluster::leader`] for code without async.
    #[must_use]
    pub fn leader_blocking(&self) -> Option<usize> {
        leader(self.nodes(), &self.raft_addrs)
    }

    /// Waits until a member leads that is not `but`.
    ///
    /// # Panics
    /// When none does within a minute.
    ///
    /// # Cancel safety
    /// Nothing happens but asking.
    pub async fn wait_for_leader(&self, but: Option<usize>) -> usize {
        let (nodes, raft_addrs) = (self.nodes().clone(), self.raft_addrs.clone());
        blocking(move || {
            until(|| {
                let found = leader(&nodes, &raft_addrs).filter(|found| Some(*found) != but);
                found.ok_or_else(|| format!("no member but {but:?} leads"))
            })
        })
        .await
    }
}

impl ConsulClusterBuilder {
    /// More arguments for each agent, such as `["-hcl", "session_ttl_min = \"1s\""]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the members and returns when each serves.
    ///
    /// # Panics
    /// When one does not; the message has the end of its log.
    pub async fn start(self) -> ConsulCluster {
        blocking(move || self.start_blocking()).await
    }

    /// [`ConsulClusterBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When one does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> ConsulCluster {
        let started = Members::start(SIZE, &[0, 1], |member, ports| {
            let peers: Vec<[u16; 2]> = ports.iter().map(|of_one| [of_one[0], of_one[1]]).collect();
            Member::of_cluster(self.args.clone(), Place { member, peers })
        });
        let members = started.unwrap_or_else(|error| panic!("the Consul cluster did not start: {error}"));
        let raft_addrs = members.peer_ports().iter().map(|ports| format!("127.0.0.1:{}", ports[0])).collect();
        ConsulCluster { members, raft_addrs }
    }
}

impl Deref for ConsulCluster {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

fn leader(nodes: &[Arc<Node>], raft_addrs: &[String]) -> Option<usize> {
    let named: Vec<Option<String>> = ask_each(nodes, leader_named_by);
    (0..nodes.len()).find(|member| leads(*member, raft_addrs, &named))
}

/// `None` where it does not answer; an empty name where it knows none.
fn leader_named_by(node: &Node) -> Option<String> {
    let answer = probe::http(node.addr(), "GET", "/v1/status/leader", "").ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

fn leads(member: usize, raft_addrs: &[String], named: &[Option<String>]) -> bool {
    let own = Some(&raft_addrs[member]);
    let agreeing = named.iter().filter(|named| named.as_ref() == own).count();
    named[member].as_ref() == own && agreeing > named.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_whom_a_majority_names_and_itself() {
        let addrs = ["a", "b", "c"].map(str::to_owned);
        let leader = |named: [Option<&str>; 3]| {
            let named = named.map(|named| named.map(str::to_owned));
            (0..3).find(|member| leads(*member, &addrs, &named))
        };
        assert_eq!(leader([Some("b"), Some("b"), Some("b")]), Some(1));
        assert_eq!(leader([Some("b"), Some("b"), None]), Some(1));
        assert_eq!(leader([Some("a"), Some("b"), Some("b")]), Some(1), "the old one is cut off");
        assert_eq!(leader([Some(""), Some(""), Some("")]), None, "an election");
        assert_eq!(leader([None, Some("a"), Some("a")]), None, "it was killed, and not yet missed");
    }
}
