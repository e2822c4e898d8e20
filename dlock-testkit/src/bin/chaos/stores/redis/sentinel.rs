//! A Redis primary with two replicas, and three sentinels.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::RedisSentinel;
use tokio::time::{Instant, sleep};

use super::common::Common;
use super::failover::{FAIL_OVER, FAILOVER, ISOLATE_PRIMARY, KILL_PRIMARY, KILL_REPLICA, STOP_PRIMARY, blow};
use super::operator::{Operator, Role};
use crate::stores::hit::{Blow, Hit};
use crate::stores::patience::until;

const KILL_SENTINEL: &str = "kill sentinel";

#[derive(Debug)]
pub(in crate::stores) struct SentinelTarget {
    redis: RedisSentinel,
    common: Common,
    hit: Hit,
}

impl SentinelTarget {
    pub(in crate::stores) async fn start() -> Self {
        let redis = RedisSentinel::start().await;
        let servers = redis.servers().map(|member| redis.addr(member)).collect();
        let common = Common::of(Operator::of(servers), &redis.url());
        Self { redis, common, hit: Hit::default() }
    }

    fn members(&self) -> impl Iterator<Item = usize> {
        0..self.redis.sentinels().end
    }

    /// Has the sentinels make another server the primary, though the present one is well.
    async fn fail_over(&self, primary: usize) -> usize {
        let sentinels = Operator::of(self.redis.sentinels().map(|member| self.redis.addr(member)).collect());
        loop {
            // It is refused while another is under way, and given up when the replica takes long.
            sentinels.tell::<()>(0, &["SENTINEL", "FAILOVER", self.redis.service()]).await;
            let deadline = Instant::now() + FAILOVER;
            while Instant::now() < deadline {
                if let Some(next) = self.redis.primary().await.filter(|next| *next != primary) {
                    return next;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until the sentinels name one primary, and both others follow it.
    async fn settled(&self) {
        until(async || {
            let roles = self.common.operator.roles().await;
            let Some(primary) = self.redis.primary().await else { return Err("no server is the primary".to_owned()) };
            let follows = Role::Replica { of: self.redis.announced(primary).port(), is_up: true };
            let expected = |server| if server == primary { Role::Primary } else { follows };
            let is_settled = self.redis.servers().all(|server| roles[server] == Some(expected(server)));
            if is_settled { Ok(()) } else { Err(format!("server {primary} is the primary, and they are {roles:?}")) }
        })
        .await;
    }
}

#[async_trait]
impl Target for SentinelTarget {
    fn store(&self) -> &str {
        "redis-sentinel"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.members().map(|member| self.redis.addr(member)).collect()
    }

    fn announced(&self) -> Vec<SocketAddr> {
        self.members().map(|member| self.redis.announced(member)).collect()
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        let sentinels: Vec<String> = servers[self.redis.sentinels()].iter().map(ToString::to_string).collect();
        format!("redis-sentinel://{}/{}", sentinels.join(","), self.redis.service())
    }

    fn client(&self) -> Box<dyn Connect> {
        self.common.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        // A replica that is promoted need not have what its primary acknowledged last. If it lacks
        // tokens that were given, they begin anew.
        let loses_writes = [FAIL_OVER, STOP_PRIMARY, KILL_PRIMARY, ISOLATE_PRIMARY]
            .map(|name| Kind::new(name, Aim::Servers).breaking_exclusion().taking_history());
        let loses_nothing = [KILL_REPLICA, KILL_SENTINEL].map(|name| Kind::new(name, Aim::Servers));
        loses_writes.into_iter().chain(loses_nothing).chain(Common::kinds()).collect()
    }

    async fn begin(&self, fault: &Aimed) -> String {
        let primary = self.redis.wait_for_primary(None).await;
        let replica = (primary + 1 + usize::from(fault.choice.is_multiple_of(2))) % self.redis.servers().len();
        let sentinel = self.redis.sentinels().start + usize::try_from(fault.choice % 3).expect("a remainder of 3");
        match fault.kind.name {
            FAIL_OVER => {
                let next = self.fail_over(primary).await;
                format!("server {primary} (primary), whom server {next} replaces")
            }
            name @ (STOP_PRIMARY | KILL_PRIMARY | ISOLATE_PRIMARY) => {
                self.hit.begin(blow(name), &self.redis, primary);
                format!("server {primary} (primary)")
            }
            KILL_REPLICA => {
                self.hit.begin(Blow::Kill, &self.redis, replica);
                format!("server {replica}")
            }
            KILL_SENTINEL => {
                self.hit.begin(Blow::Kill, &self.redis, sentinel);
                format!("sentinel {sentinel}")
            }
            _ => self.common.begin(fault).await,
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
        let target = SentinelTarget::start().await;
        for kind in target.kinds() {
            inflict(&target, &target.common, kind).await;
        }
    }
}
