//! A Redis Cluster of three primaries with a replica each.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::RedisCluster;
use redis::InfoDict;
use tokio::time::{Instant, sleep};

use super::claims;
use super::common::Common;
use super::failover::{FAIL_OVER, FAILOVER, ISOLATE_PRIMARY, KILL_PRIMARY, KILL_REPLICA, STOP_PRIMARY, blow};
use super::operator::{Operator, Role};
use crate::stores::hit::{Blow, Hit};
use crate::stores::patience::until;

const MOVE_SLOT: &str = "move slot";

#[derive(Debug)]
pub(in crate::stores) struct ClusterTarget {
    redis: RedisCluster,
    common: Common,
    hit: Hit,
}

impl ClusterTarget {
    pub(in crate::stores) async fn start() -> Self {
        let redis = RedisCluster::start().await;
        let nodes = (0..redis.count()).map(|member| redis.addr(member)).collect();
        let common = Common::of(Operator::of(nodes), &redis.url());
        Self { redis, common, hit: Hit::default() }
    }

    fn operator(&self) -> &Operator {
        &self.common.operator
    }

    /// A primary that has keys of the run, and its replica.
    async fn in_use(&self, fault: &Aimed) -> (usize, usize) {
        until(async || {
            let roles = self.operator().roles().await;
            let replica_of = |primary: usize| {
                let follows = Role::Replica { of: self.redis.announced(primary).port(), is_up: true };
                (0..self.redis.count()).find(|member| roles[*member] == Some(follows))
            };
            let keys = claims::of_namespace(self.operator(), &fault.namespace).await;
            let mut pairs: Vec<_> =
                keys.into_iter().filter_map(|(primary, _)| Some((primary, replica_of(primary)?))).collect();
            pairs.sort_unstable();
            pairs.dedup();
            let choice = usize::try_from(fault.choice >> 32).expect("half of a u64");
            pairs.get(choice % pairs.len().max(1)).copied().ok_or_else(|| format!("no primary in use, of {roles:?}"))
        })
        .await
    }

    /// Has a replica take over in agreement with its primary, which loses nothing
    /// (redis.io/commands/cluster-failover).
    async fn fail_over(&self, replica: usize) {
        loop {
            self.operator().tell::<()>(replica, &["CLUSTER", "FAILOVER"]).await;
            let deadline = Instant::now() + FAILOVER;
            while Instant::now() < deadline {
                if self.operator().primaries().await.contains(&replica) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Moves the slot of one of the run's keys to another primary, as `redis-cli --cluster reshard` does.
    async fn move_slot(&self, fault: &Aimed) -> String {
        let operator = self.operator();
        let keys = until(async || {
            let keys = claims::of_namespace(operator, &fault.namespace).await;
            if keys.is_empty() { Err("there are no keys") } else { Ok(keys) }
        })
        .await;
        let choice = usize::try_from(fault.choice >> 32).expect("half of a u64");
        let (from, key) = &keys[choice % keys.len()];
        let (from, primaries) = (*from, operator.primaries().await);
        let others: Vec<usize> = primaries.iter().copied().filter(|primary| *primary != from).collect();
        let to = others[choice % others.len()];
        let slot: u16 = operator.tell(from, &["CLUSTER", "KEYSLOT", key]).await;
        let slot = slot.to_string();
        let from_id: String = operator.tell(from, &["CLUSTER", "MYID"]).await;
        let to_id: String = operator.tell(to, &["CLUSTER", "MYID"]).await;
        operator.tell::<()>(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        operator.tell::<()>(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        let port = operator.addr(to).port().to_string();
        loop {
            let keys: Vec<String> = operator.tell(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            operator.tell::<redis::Value>(from, &migrate).await;
        }
        // The new owner first: it makes the move known.
        for primary in [to, from].into_iter().chain(others.into_iter().filter(|other| *other != to)) {
            operator.tell::<()>(primary, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
        }
        format!("slot {slot}, from member {from} to member {to}")
    }

    /// Waits until the cluster is well, and all three replicas follow primaries.
    async fn settled(&self) {
        until(async || {
            let roles = self.operator().roles().await;
            for member in 0..self.redis.count() {
                let info: Result<InfoDict, _> = self.operator().ask(member, &["CLUSTER", "INFO"]).await;
                let state = info.ok().and_then(|info| info.get::<String>("cluster_state"));
                if state.as_deref() != Some("ok") {
                    return Err(format!("to member {member} the cluster is {state:?}, and the nodes are {roles:?}"));
                }
            }
            let primaries: Vec<u16> = (0..self.redis.count())
                .filter(|member| roles[*member] == Some(Role::Primary))
                .map(|member| self.redis.announced(member).port())
                .collect();
            let is_well = |role: &Option<Role>| match role {
                Some(Role::Primary) => true,
                Some(Role::Replica { of, is_up }) => *is_up && primaries.contains(of),
                None => false,
            };
            let is_settled = 2 * primaries.len() == roles.len() && roles.iter().all(is_well);
            if is_settled { Ok(()) } else { Err(format!("the nodes are {roles:?}")) }
        })
        .await;
    }
}

#[async_trait]
impl Target for ClusterTarget {
    fn store(&self) -> &str {
        "redis-cluster"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        (0..self.redis.count()).map(|member| self.redis.addr(member)).collect()
    }

    fn announced(&self) -> Vec<SocketAddr> {
        (0..self.redis.count()).map(|member| self.redis.announced(member)).collect()
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        let nodes: Vec<String> = servers.iter().map(ToString::to_string).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    fn client(&self) -> Box<dyn Connect> {
        self.common.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        // A replica that is promoted without its primary need not have what that acknowledged last. If
        // it lacks tokens that were given, they begin anew.
        let loses_writes = [STOP_PRIMARY, KILL_PRIMARY, ISOLATE_PRIMARY]
            .map(|name| Kind::new(name, Aim::Servers).breaking_exclusion().taking_history());
        let loses_nothing = [
            Kind::new(FAIL_OVER, Aim::Servers),
            Kind::new(MOVE_SLOT, Aim::ServersOnce),
            Kind::new(KILL_REPLICA, Aim::Servers),
        ];
        loses_writes.into_iter().chain(loses_nothing).chain(Common::kinds()).collect()
    }

    async fn begin(&self, fault: &Aimed) -> String {
        let is_common = Common::kinds().contains(&fault.kind);
        if is_common {
            return self.common.begin(fault).await;
        }
        if fault.kind.name == MOVE_SLOT {
            return self.move_slot(fault).await;
        }
        let (primary, replica) = self.in_use(fault).await;
        match fault.kind.name {
            FAIL_OVER => {
                self.fail_over(replica).await;
                format!("member {primary} (primary), whom member {replica} replaces")
            }
            KILL_REPLICA => {
                self.hit.begin(Blow::Kill, &self.redis, replica);
                format!("member {replica} (replica of {primary})")
            }
            name => {
                self.hit.begin(blow(name), &self.redis, primary);
                format!("member {primary} (primary)")
            }
        }
    }

    async fn end(&self, fault: &Aimed) {
        let name = fault.kind.name;
        if !self.hit.end(&self.redis).await && name != FAIL_OVER {
            return self.common.end(fault).await;
        }
        self.settled().await;
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.common.count(namespace).await)
    }
}

#[cfg(test)]
mod tests {
    use dlock_testkit::servers::RedisProgram;

    use super::*;
    use crate::stores::redis::common::inflict;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_servers_are_well_after_every_fault() {
        let Ok(()) = RedisProgram::Redis.installed() else { return };
        let target = ClusterTarget::start().await;
        for kind in target.kinds() {
            inflict(&target, &target.common, kind).await;
        }
    }
}
