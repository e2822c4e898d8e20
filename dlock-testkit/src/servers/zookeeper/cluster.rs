//! A ZooKeeper ensemble of the test's own.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::Tick;
use super::member::{Member, Place};
use crate::servers::members::{Members, ask_each};
use crate::servers::patience::until;
use crate::servers::shared::blocking;
use crate::servers::{Node, probe};

/// How many members an ensemble has.
const SIZE: usize = 3;
/// At how many addresses a member listens for its peers.
const PEER_ADDRS: usize = 2;

/// A running ZooKeeper ensemble of three members; what can be done with them is on [`Members`].
#[derive(Debug)]
pub struct ZooKeeperCluster {
    members: Members,
}

/// How a [`ZooKeeperCluster`] is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZooKeeperClusterBuilder {
    tick: Tick,
}

impl ZooKeeperCluster {
    /// Starts three members; ask [`ZooKeeper::installed`](super::ZooKeeper::installed) first.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> ZooKeeperClusterBuilder {
        ZooKeeperClusterBuilder::default()
    }

    /// Its URL for `dlock::connect`, with all members.
    #[must_use]
    pub fn url(&self) -> String {
        let addrs: Vec<String> = (0..self.count()).map(|member| self.addr(member).to_string()).collect();
        format!("zookeeper://{}", addrs.join(","))
    }

    /// Which member leads now, by its own word; where two say so, it is the one elected last.
    /// `None` while there is none, as in an election.
    ///
    /// A leader that has just been cut off is still named until it misses the others, which takes
    /// it four ticks.
    pub async fn leader(&self) -> Option<usize> {
        let nodes = self.nodes().clone();
        blocking(move || leader(&nodes)).await
    }

    /// [`ZooKeeperCluster::leader`] for code without async.
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
}

impl ZooKeeperClusterBuilder {
    /// The servers' unit of time, 500 ms if not said: a session's timeout is at least two of it,
    /// and a member that is silent for four is given up by the others.
    #[must_use]
    pub fn with_tick(mut self, tick: Duration) -> Self {
        self.tick = Tick(tick);
        self
    }

    /// Starts the members and returns when each serves.
    ///
    /// # Panics
    /// When one does not; the message has the end of its log.
    pub async fn start(self) -> ZooKeeperCluster {
        blocking(move || self.start_blocking()).await
    }

    /// [`ZooKeeperClusterBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When one does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> ZooKeeperCluster {
        let started = Members::start_by_proxy(SIZE, PEER_ADDRS, |member, peers, proxy| {
            Member::of_ensemble(self.tick, Place { member, peers: peers.to_vec(), proxy })
        });
        match started {
            Ok(members) => ZooKeeperCluster { members },
            Err(error) => panic!("the ZooKeeper ensemble did not start: {error}"),
        }
    }
}

impl Deref for ZooKeeperCluster {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

fn leader(nodes: &[Arc<Node>]) -> Option<usize> {
    let epochs: Vec<Option<u64>> = ask_each(nodes, epoch_as_leader);
    (0..nodes.len()).filter(|member| epochs[*member].is_some()).max_by_key(|member| epochs[*member])
}

/// `None` where it does not answer, or does not lead.
fn epoch_as_leader(node: &Node) -> Option<u64> {
    epoch_of_leader(&probe::exchange(node.addr(), "srvr").ok()?)
}

/// The upper half of a transaction's number counts the elections.
fn epoch_of_leader(answer: &str) -> Option<u64> {
    let value = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key));
    value("Mode: ").filter(|mode| *mode == "leader")?;
    Some(u64::from_str_radix(value("Zxid: 0x")?, 16).ok()? >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_says_so_and_counts_elections() {
        let answer = |mode| format!("Zookeeper version: 3.8.0\nOutstanding: 0\nZxid: 0x300000001\nMode: {mode}\n");
        assert_eq!(epoch_of_leader(&answer("leader")), Some(3));
        assert_eq!(epoch_of_leader(&answer("follower")), None);
        assert_eq!(epoch_of_leader("This ZooKeeper instance is not currently serving requests\n"), None);
    }
}
