//! Members that are killed or stopped.

use std::time::Duration;

use ::redis::{Client, InfoDict, Value};

use super::RedisAlone;
use crate::Trouble;
use crate::servers::{Members, RedisSentinel};
use crate::stores::redis::fleet::Fleet;
use crate::stores::redis::operator::{connect, keys, order};

/// How long servers may take to agree, on a very busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// Of a cluster; the others are a replica of each, in the same order.
const PRIMARIES: usize = 3;

impl RedisAlone {
    pub(super) async fn take_members(&self) {
        let leader = self.leader().await;
        self.until("the replicas have what their primary has", || has_been_copied(&self.operators[leader])).await;
        let victims = match self.trouble {
            Trouble::MinorityDown => self.minority(leader),
            Trouble::MajorityDown => self.majority(leader),
            _ => vec![leader],
        };
        for victim in &victims {
            let node = self.members().node(*victim);
            if self.trouble == Trouble::LeaderStopped { node.stop() } else { node.kill() }
        }
        if let (Fleet::Cluster(_), Trouble::MajorityDown) = (&self.fleet, self.trouble) {
            // Until it has noticed, a primary that is left goes on as before.
            let left = (0..self.operators.len()).find(|member| !victims.contains(member));
            let left = &self.operators[left.expect("some members are left")];
            self.until("the others notice", || says(left, "CLUSTER INFO", "cluster_state:fail")).await;
        }
        *self.victims() = victims;
    }

    pub(super) async fn give_members_back(&self) {
        let victims = std::mem::take(&mut *self.victims());
        match (self.trouble, &victims[..]) {
            (Trouble::LeaderStopped, [stopped]) => {
                self.members().node(*stopped).resume();
                // It believes that it leads until it is told that another does.
                let operator = &self.operators[*stopped];
                self.until("it follows the new leader", || says(operator, "INFO replication", "role:slave")).await;
            }
            // One cannot serve without the other.
            (Trouble::MajorityDown, _) => self.members().restart_all().await,
            (_, victims) => {
                for victim in victims {
                    self.members().restart(*victim).await;
                }
            }
        }
        self.fleet.wait_until_served().await;
    }

    fn members(&self) -> &Members {
        match &self.fleet {
            Fleet::Sentinel(servers) => servers,
            Fleet::Cluster(nodes) => nodes,
            Fleet::One(_) => unreachable!("no such trouble is offered on one server"),
        }
    }

    /// The primary; in a cluster, one that keeps a name that is claimed.
    async fn leader(&self) -> usize {
        if let Fleet::Sentinel(servers) = &self.fleet {
            return servers.wait_for_primary(None).await;
        }
        for (member, operator) in self.operators.iter().enumerate() {
            let role: Vec<Value> = order(operator, &["ROLE"]).await.expect("the server obeys its operator");
            let leads = matches!(role.first(), Some(Value::BulkString(role)) if role == b"master");
            if leads && keeps_a_claim(operator).await {
                return member;
            }
        }
        panic!("no primary keeps a claim: there is nobody to take away");
    }

    /// A replica and a sentinel; in a cluster, the replicas of two primaries.
    fn minority(&self, leader: usize) -> Vec<usize> {
        match &self.fleet {
            Fleet::Sentinel(servers) => vec![replica_of(servers, leader), servers.sentinels().start],
            _ => vec![leader + PRIMARIES, beside(leader) + PRIMARIES],
        }
    }

    /// The primary, a replica and two sentinels: the other sentinel may make nobody the primary. In a
    /// cluster, two primaries with their replicas.
    fn majority(&self, leader: usize) -> Vec<usize> {
        match &self.fleet {
            Fleet::Sentinel(servers) => {
                let sentinels = servers.sentinels().take(2);
                [leader, replica_of(servers, leader)].into_iter().chain(sentinels).collect()
            }
            _ => {
                let other = beside(leader);
                vec![leader, other, leader + PRIMARIES, other + PRIMARIES]
            }
        }
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, mut is_so: impl FnMut() -> F) {
        let waited = tokio::time::timeout(BOUND, async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(waited.await.is_ok(), "waited in vain until {what}");
    }
}

/// Another primary of a cluster in which all is as at the start: [`RedisCluster`] says how.
///
/// [`RedisCluster`]: crate::servers::RedisCluster
fn beside(primary: usize) -> usize {
    (primary + 1) % PRIMARIES
}

fn replica_of(servers: &RedisSentinel, leader: usize) -> usize {
    (leader + 1) % servers.servers().len()
}

async fn keeps_a_claim(server: &Client) -> bool {
    let mut connection = connect(server).await.expect("a server that serves takes a connection");
    !keys(&mut connection, "*:name:*").await.expect("the server obeys").is_empty()
}

/// Replication is asynchronous: what a primary has not passed on when it ends is lost, as
/// docs/guarantees.md says. That is not what members are taken away to show.
async fn has_been_copied(primary: &Client) -> bool {
    let Ok(info) = order::<InfoDict>(primary, &["INFO", "replication"]).await else { return false };
    let Some(written) = info.get::<u64>("master_repl_offset") else { return false };
    let count: usize = info.get("connected_slaves").unwrap_or(0);
    let copied = |replica: usize| {
        let state: String = info.get(&format!("slave{replica}"))?;
        state.split(',').find_map(|field| field.strip_prefix("offset=")?.parse::<u64>().ok())
    };
    count > 0 && (0..count).all(|replica| copied(replica).is_some_and(|copied| copied >= written))
}

async fn says(server: &Client, command: &str, line: &str) -> bool {
    let words: Vec<&str> = command.split(' ').collect();
    order::<String>(server, &words).await.is_ok_and(|answer| answer.lines().any(|other| other == line))
}
