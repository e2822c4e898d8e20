//! A Redis Cluster of the test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::RedisProgram;
use super::ask::{ask, ask_all, has_line};
use super::data_node::{DataNode, Place};
use crate::servers::Node;
use crate::servers::members::{Members, ask_each};
use crate::servers::patience::{until, within};
use crate::servers::shared::blocking;

const PRIMARIES: usize = 3;
const NODES: usize = 2 * PRIMARIES;
/// How the list of as many shards begins.
const SHARDS: &str = "*3\r\n";
const SLOTS: usize = 16_384;
/// How long nodes that were introduced may take to know each other, until it is tried again.
const MEETING: Duration = Duration::from_secs(5);

/// Three primaries and a replica of each, which takes over when its primary is gone for two
/// seconds, unless told otherwise. At the start the first three of the six [`Members`] are the primaries, and the fourth
/// is the first one's replica, and so on.
///
/// Every write is in the append-only file before it is answered.
#[derive(Debug)]
pub struct RedisCluster {
    members: Members,
}

/// How a [`RedisCluster`] is started.
#[derive(Clone, Debug)]
pub struct RedisClusterBuilder {
    program: RedisProgram,
    args: Vec<String>,
    patience: Duration,
}

impl RedisCluster {
    /// Starts six nodes of the installed Redis; ask [`RedisProgram::installed`] first.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> RedisClusterBuilder {
        RedisClusterBuilder::default()
    }

    /// A URL with all nodes: `redis-cluster://a,b,c,d,e,f`.
    #[must_use]
    pub fn url(&self) -> String {
        let addrs: Vec<String> = (0..self.count()).map(|member| self.addr(member).to_string()).collect();
        format!("redis-cluster://{}", addrs.join(","))
    }

    /// The address that the nodes tell clients and each other to find a member at: a relay, which
    /// leads clients to it even while it is cut off from the others.
    ///
    /// # Panics
    /// When there is none of this number.
    #[must_use]
    pub fn announced(&self, member: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.peer_ports()[member][0]))
    }

    /// Which member is the primary of a slot (0 to 16383) now: it answers that it is, and no other
    /// has claimed the slot later. `None` while there is none.
    ///
    /// A primary that has just been cut off is still named until its replica takes over.
    pub async fn primary_of(&self, slot: u16) -> Option<usize> {
        let nodes = self.nodes().clone();
        blocking(move || primary_of(&nodes, slot)).await
    }

    /// [`RedisCluster::primary_of`] for code without async.
    #[must_use]
    pub fn primary_of_blocking(&self, slot: u16) -> Option<usize> {
        primary_of(self.nodes(), slot)
    }

    /// Waits until a member that is not `but` is the primary of a slot.
    ///
    /// # Panics
    /// When none is within a minute.
    ///
    /// # Cancel safety
    /// Nothing happens but asking.
    pub async fn wait_for_primary_of(&self, slot: u16, but: Option<usize>) -> usize {
        let nodes = self.nodes().clone();
        blocking(move || {
            until(|| {
                let found = primary_of(&nodes, slot).filter(|found| Some(*found) != but);
                found.ok_or_else(|| format!("no node but {but:?} is the primary of slot {slot}"))
            })
        })
        .await
    }

    /// Waits until all nodes that run say that the cluster serves all slots.
    ///
    /// # Panics
    /// When they do not within a minute.
    ///
    /// # Cancel safety
    /// Nothing happens but asking.
    pub async fn wait_until_ok(&self) {
        let nodes = self.nodes().clone();
        blocking(move || until(|| is_ok(&nodes))).await;
    }
}

impl RedisClusterBuilder {
    /// The program to start instead of Redis; ask [`RedisProgram::installed`] first.
    #[must_use]
    pub fn with_program(mut self, program: RedisProgram) -> Self {
        self.program = program;
        self
    }

    /// Lets nodes wait so long for each other before one counts as gone. More than the two seconds
    /// of the default is for those who want no failover, however busy the machine is.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// More arguments for each node, such as `["--cluster-require-full-coverage", "no"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the nodes and returns when each says that the cluster is well, and each primary has
    /// its replica.
    ///
    /// # Panics
    /// When one does not; the message has the end of its log.
    pub async fn start(self) -> RedisCluster {
        blocking(move || self.start_blocking()).await
    }

    /// [`RedisClusterBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When one does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> RedisCluster {
        let started = Members::start(NODES, &[0, 1], |member, ports| {
            let (announced, announced_bus) = (ports[member][0], ports[member][1]);
            let place = Place::Cluster { member, announced, announced_bus, patience: self.patience };
            let (program, args) = (self.program, self.args.clone());
            DataNode { program, args, is_append_only: true, place, ..DataNode::default() }
        });
        let members = started.unwrap_or_else(|error| panic!("the redis cluster did not start: {error}"));
        form(&members);
        RedisCluster { members }
    }
}

impl Default for RedisClusterBuilder {
    fn default() -> Self {
        Self { program: RedisProgram::default(), args: Vec::new(), patience: Duration::from_secs(2) }
    }
}

impl Deref for RedisCluster {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

/// Makes one cluster of the nodes, as `redis-cli --cluster create` does.
fn form(members: &Members) {
    let nodes = members.nodes();
    for (index, node) in nodes.iter().enumerate() {
        tell(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1));
    }
    for (index, node) in nodes[..PRIMARIES].iter().enumerate() {
        let (first, end) = (index * SLOTS / PRIMARIES, (index + 1) * SLOTS / PRIMARIES);
        tell(node, &format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1));
    }
    until(|| {
        meet(members);
        within(MEETING, || all_say(nodes, "CLUSTER INFO", &format!("cluster_known_nodes:{NODES}")))
    });
    for (replica, primary) in nodes[PRIMARIES..].iter().zip(nodes.iter()) {
        let id = until(|| {
            ask(primary, "CLUSTER MYID")
                .and_then(|answer| Some(answer.lines().nth(1)?.to_owned()))
                .ok_or_else(|| "a node does not tell its id".to_owned())
        });
        tell(replica, &format!("CLUSTER REPLICATE {id}"));
    }
    until(|| all_say(&nodes[..PRIMARIES], "INFO replication", "connected_slaves:1"));
    until(|| all_say(&nodes[PRIMARIES..], "INFO replication", "master_link_status:up"));
    until(|| is_ok(nodes));
    until(|| is_settled(nodes));
    nodes.iter().for_each(|node| tell(node, "CLUSTER SAVECONFIG"));
}

/// Whether all nodes count each replica to the shard of its primary. Valkey 8.0 writes down what
/// it knows before that as well, and then refuses to start with it.
fn is_settled(nodes: &[Arc<Node>]) -> Result<(), String> {
    let answers = ask_all(nodes, "CLUSTER SHARDS");
    let is_settled = |answer: &Option<String>| answer.as_ref().is_some_and(|answer| answer.starts_with(SHARDS));
    answers
        .into_iter()
        .find(|answer| !is_settled(answer))
        .map_or(Ok(()), |answer| Err(format!("the shards are {answer:?}")))
}

/// Makes the first node and the others known to each other. A node forgets another that does not
/// answer it within the node timeout, as on a busy machine; so each is told, and told again.
fn meet(members: &Members) {
    let nodes = members.nodes();
    let ports = members.peer_ports();
    let introduce = |to: &Node, ports: &[u16]| tell(to, &format!("CLUSTER MEET 127.0.0.1 {} {}", ports[0], ports[1]));
    for (node, own) in nodes.iter().zip(ports).skip(1) {
        introduce(&nodes[0], own);
        introduce(node, &ports[0]);
    }
}

/// Repeats a command until it is obeyed.
fn tell(node: &Node, command: &str) {
    until(|| match ask(node, command) {
        Some(answer) if answer.starts_with("+OK") => Ok(()),
        answer => Err(format!("{command} is answered by {answer:?}")),
    });
}

fn is_ok(nodes: &[Arc<Node>]) -> Result<(), String> {
    all_say(nodes, "CLUSTER INFO", "cluster_state:ok")
}

/// Whether this line is in the answer of each node that runs.
fn all_say(nodes: &[Arc<Node>], command: &str, line: &str) -> Result<(), String> {
    let running: Vec<Arc<Node>> = nodes.iter().filter(|node| node.running_pid().is_some()).cloned().collect();
    let answers = ask_all(&running, command);
    match answers.iter().find(|answer| !has_line(answer, line)) {
        None => Ok(()),
        Some(answer) => Err(format!("{command} is not answered by {line}, but by {answer:?}")),
    }
}

fn primary_of(nodes: &[Arc<Node>], slot: u16) -> Option<usize> {
    let epochs = ask_each(nodes, |node| claimed_in(&ask(node, "CLUSTER NODES")?, slot));
    let latest = epochs.iter().enumerate().max_by_key(|(_, epoch)| **epoch);
    latest.filter(|(_, epoch)| epoch.is_some()).map(|(member, _)| member)
}

/// The epoch in which the node that answered claimed this slot, if it is the slot's primary.
///
/// Each line describes a node (redis.io/commands/cluster-nodes): id, address, flags, primary,
/// ping, pong, epoch, link, slots; that of the node itself has the flag `myself`.
fn claimed_in(answer: &str, slot: u16) -> Option<u64> {
    let myself = |line: &&str| line.split_whitespace().nth(2).is_some_and(|flags| flags.starts_with("myself"));
    let fields: Vec<&str> = answer.lines().find(myself)?.split_whitespace().collect();
    if !fields[2].split(',').any(|flag| flag == "master") {
        return None;
    }
    let owns = |range: &&str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    };
    fields.get(8..)?.iter().find(|range| owns(range))?;
    fields[6].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_which_slots_it_owns() {
        let answer = "$500\r\n\
            07c3 127.0.0.1:3@4,, master - 0 1426238317239 4 connected 5461-10922\n\
            e7d1 127.0.0.1:1@2,, myself,master - 0 0 7 connected 0-99 5460 [93-<-292f]\n\r\n+OK\r\n";
        for (slot, epoch) in [(0, Some(7)), (99, Some(7)), (5460, Some(7)), (100, None), (5461, None)] {
            assert_eq!(claimed_in(answer, slot), epoch, "{slot}");
        }
        assert_eq!(claimed_in(&answer.replace("myself,master", "myself,slave"), 0), None);
    }
}
