//! One Redis server.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::{Redis, SmallDisk};

use super::common::Common;
use super::operator::Operator;
use crate::stores::FILL_DISK;

const STOP: &str = "stop server";
const RESTART: &str = "restart server";
const CLOCK_AHEAD: &str = "step clock ahead";
const CLOCK_BACK: &str = "step clock back";

/// How much its disk takes.
const DISK: u64 = 64 << 20;

/// How far the server's clock is stepped: past any ttl.
const STEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(in crate::stores) struct RedisTarget {
    server: Redis,
    keeps: Keeps,
    has_steppable_clock: bool,
    common: Common,
}

/// What a server has of its data after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// All that it acknowledged, on a disk that can be filled.
    AllOnDisk,
    /// All that it acknowledged.
    All,
    Nothing,
}

impl RedisTarget {
    /// A server that writes everything to its append-only file before it answers.
    pub(in crate::stores) async fn start() -> Self {
        let has_disk = SmallDisk::available().is_ok();
        Self::start_with(if has_disk { Keeps::AllOnDisk } else { Keeps::All }).await
    }

    /// A server that keeps its data in memory only.
    pub(in crate::stores) async fn start_volatile() -> Self {
        Self::start_with(Keeps::Nothing).await
    }

    async fn start_with(keeps: Keeps) -> Self {
        let builder = match keeps {
            Keeps::AllOnDisk => Redis::builder().append_only().with_disk(DISK),
            Keeps::All => Redis::builder().append_only(),
            Keeps::Nothing => Redis::builder(),
        };
        let has_steppable_clock = Redis::can_step_clocks().is_ok();
        let builder = if has_steppable_clock { builder.with_steppable_clock() } else { builder };
        let server = builder.start().await;
        let common = Common::of(Operator::of(vec![server.addr()]), &server.url());
        Self { server, keeps, has_steppable_clock, common }
    }
}

#[async_trait]
impl Target for RedisTarget {
    fn store(&self) -> &str {
        match self.keeps {
            Keeps::AllOnDisk | Keeps::All => "redis",
            Keeps::Nothing => "redis-volatile",
        }
    }

    fn servers(&self) -> Vec<SocketAddr> {
        vec![self.server.addr()]
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        format!("redis://{}", servers[0])
    }

    fn client(&self) -> Box<dyn Connect> {
        self.common.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        let restart = Kind::new(RESTART, Aim::Servers);
        let restart =
            if self.keeps == Keeps::Nothing { restart.breaking_exclusion().taking_history() } else { restart };
        let mut kinds = vec![Kind::new(STOP, Aim::Servers), restart];
        if self.has_steppable_clock {
            kinds.extend([CLOCK_AHEAD, CLOCK_BACK].map(|name| Kind::new(name, Aim::Servers).breaking_exclusion()));
        }
        kinds.extend((self.keeps == Keeps::AllOnDisk).then_some(FILL_DISK));
        kinds.extend(Common::kinds());
        kinds
    }

    async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            _ if fault.kind == FILL_DISK => self.server.fill_disk(),
            STOP => self.server.stop(),
            RESTART => self.server.kill(),
            CLOCK_AHEAD => self.server.step_clock_ahead(STEP),
            CLOCK_BACK => self.server.step_clock_back(STEP),
            _ => return self.common.begin(fault).await,
        }
        "the server".to_owned()
    }

    async fn end(&self, fault: &Aimed) {
        match fault.kind.name {
            // It has ended when it could not write.
            _ if fault.kind == FILL_DISK => {
                self.server.free_disk();
                self.server.restart().await;
            }
            STOP => self.server.resume(),
            RESTART => self.server.restart().await,
            CLOCK_AHEAD => self.server.step_clock_back(STEP),
            CLOCK_BACK => self.server.step_clock_ahead(STEP),
            _ => self.common.end(fault).await,
        }
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.common.count(namespace).await)
    }
}
