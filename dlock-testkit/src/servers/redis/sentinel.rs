//! Redis under Sentinel, of the test's own.

mod watcher;

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use self::watcher::Watcher;
use super::RedisProgram;
use super::ask::{ask, ask_all, has_line};
use super::data_node::{DataNode, Place, source_of};
use crate::servers::Node;
use crate::servers::members::Members;
use crate::servers::node::Recipe;
use crate::servers::patience::until;
use crate::servers::shared::blocking;

/// What the sentinels call the servers that they watch.
const SERVICE: &str = "dlock";
const SERVERS: usize = 3;
const SENTINELS: usize = 3;

/// One primary and two replicas, watched by three sentinels, which make a replica the primary
/// when that is gone for a second, unless told otherwise. What can be done with all six is on [`Members`]: the servers
/// come first ([`RedisSentinel::servers`]), then the sentinels ([`RedisSentinel::sentinels`]).
///
/// Every write is in the append-only file before it is answered. To be cut off means to be cut off
/// from servers and sentinels alike.
#[derive(Debug)]
pub struct RedisSentinel {
    members: Members,
    /// The ports at which the sentinels, and those who ask them, know the servers.
    announced: Arc<[u16]>,
}

/// How a [`RedisSentinel`] is started.
#[derive(Clone, Debug)]
pub struct RedisSentinelBuilder {
    program: RedisProgram,
    args: Vec<String>,
    patience: Duration,
}

impl RedisSentinel {
    /// Starts them all with the installed Redis; ask [`RedisProgram::installed`] first.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To start them with other settings.
    #[must_use]
    pub fn builder() -> RedisSentinelBuilder {
        RedisSentinelBuilder::default()
    }

    /// Which members are the servers. The first one is the primary at the start.
    #[must_use]
    pub fn servers(&self) -> Range<usize> {
        0..SERVERS
    }

    /// Which members are the sentinels.
    #[must_use]
    pub fn sentinels(&self) -> Range<usize> {
        SERVERS..SERVERS + SENTINELS
    }

    /// The name by which clients ask sentinels for the primary.
    #[must_use]
    pub fn service(&self) -> &str {
        SERVICE
    }

    /// The address that sentinels tell clients and each other to find a member at: a relay, which
    /// leads clients to it even while it is cut off from the others.
    ///
    /// # Panics
    /// When there is none of this number.
    #[must_use]
    pub fn announced(&self, member: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.peer_ports()[member][0]))
    }

    /// A URL with all sentinels: `redis-sentinel://a,b,c/dlock`.
    #[must_use]
    pub fn url(&self) -> String {
        let addrs: Vec<String> = self.sentinels().map(|member| self.addr(member).to_string()).collect();
        format!("redis-sentinel://{}/{SERVICE}", addrs.join(","))
    }

    /// Which member is the primary now: a majority of the sentinels names it, and it answers that
    /// it is. `None` while there is none.
    pub async fn primary(&self) -> Option<usize> {
        let (nodes, announced) = (self.nodes().clone(), self.announced.clone());
        blocking(move || primary(&nodes, &announced)).await
    }

    /// [`RedisSentinel::primary`] for code without async.
    #[must_use]
    pub fn primary_blocking(&self) -> Option<usize> {
        primary(self.nodes(), &self.announced)
    }

    /// Waits until a member is the primary that is not `but`.
    ///
    /// # Panics
    /// When none is within a minute.
    ///
    /// # Cancel safety
    /// Nothing happens but asking.
    pub async fn wait_for_primary(&self, but: Option<usize>) -> usize {
        let (nodes, announced) = (self.nodes().clone(), self.announced.clone());
        blocking(move || {
            until(|| {
                let found = primary(&nodes, &announced).filter(|found| Some(*found) != but);
                found.ok_or_else(|| format!("no server but {but:?} is the primary"))
            })
        })
        .await
    }
}

impl RedisSentinelBuilder {
    /// The program to start instead of Redis; ask [`RedisProgram::installed`] first.
    #[must_use]
    pub fn with_program(mut self, program: RedisProgram) -> Self {
        self.program = program;
        self
    }

    /// Lets sentinels wait so long for a server before it counts as gone. More than the second of the
    /// default is for those who want no failover, however busy the machine is.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// More arguments for each server, such as `["--min-replicas-to-write", "1"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts them and returns when the replicas follow and the sentinels know each other.
    ///
    /// # Panics
    /// When one does not start; the message has the end of its log.
    pub async fn start(self) -> RedisSentinel {
        blocking(move || self.start_blocking()).await
    }

    /// [`RedisSentinelBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When one does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> RedisSentinel {
        let ids: Vec<String> = (0..SENTINELS).map(|_| random_id()).collect();
        let started = Members::start(SERVERS + SENTINELS, &[0], |member, ports| self.recipe(member, ports, &ids));
        let members = started.unwrap_or_else(|error| panic!("redis under sentinel did not start: {error}"));
        let announced = members.peer_ports()[..SERVERS].iter().map(|of_one| of_one[0]).collect();
        until(|| is_formed(members.nodes()));
        RedisSentinel { members, announced }
    }

    fn recipe(&self, member: usize, ports: &[Vec<u16>], ids: &[String]) -> Box<dyn Recipe> {
        let port = |member: usize| ports[member][0];
        if member < SERVERS {
            let primary = (member > 0).then(|| port(0));
            let place = Place::Watched { member, announced: port(member), primary };
            let (program, args) = (self.program, self.args.clone());
            return Box::new(DataNode { program, args, is_append_only: true, place, ..DataNode::default() });
        }
        Box::new(Watcher {
            program: self.program,
            source: source_of(member),
            index: member - SERVERS,
            patience: self.patience,
            sentinels: ids.iter().cloned().zip((SERVERS..).map(port)).collect(),
            servers: (0..SERVERS).map(port).collect(),
        })
    }
}

impl Default for RedisSentinelBuilder {
    fn default() -> Self {
        Self { program: RedisProgram::default(), args: Vec::new(), patience: Duration::from_secs(1) }
    }
}

impl Deref for RedisSentinel {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

fn primary(nodes: &[Arc<Node>], announced: &[u16]) -> Option<usize> {
    let (servers, sentinels) = nodes.split_at(SERVERS);
    let answers = ask_all(sentinels, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}"));
    let named = |port: &u16| answers.iter().filter(|answer| has_line(answer, &port.to_string())).count();
    let primary = announced.iter().position(|port| named(port) > SENTINELS / 2)?;
    servers[primary].running_pid()?;
    has_line(&ask(&servers[primary], "ROLE"), "master").then_some(primary)
}

/// Whether all are connected to all that they need.
fn is_formed(nodes: &[Arc<Node>]) -> Result<(), String> {
    let (servers, sentinels) = nodes.split_at(SERVERS);
    for answer in &ask_all(&servers[1..], "INFO replication") {
        if !has_line(answer, "master_link_status:up") {
            return Err(format!("a replica does not follow: {answer:?}"));
        }
    }
    for answer in ask_all(sentinels, &format!("SENTINEL CKQUORUM {SERVICE}")) {
        let all = format!("+OK {SENTINELS} usable Sentinels");
        if !answer.as_ref().is_some_and(|answer| answer.starts_with(&all)) {
            return Err(format!("the sentinels do not know each other: {answer:?}"));
        }
    }
    for answer in ask_all(sentinels, "INFO sentinel") {
        let all = "status=ok,address=127.0.0.1:";
        let replicas = format!("slaves={},", SERVERS - 1);
        if !answer.as_ref().is_some_and(|answer| answer.contains(all) && answer.contains(&replicas)) {
            return Err(format!("a sentinel does not know the servers: {answer:?}"));
        }
    }
    Ok(())
}

/// 40 hexadecimal digits.
fn random_id() -> String {
    let random = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}{:08x}", random(), random(), random() >> 32)
}
