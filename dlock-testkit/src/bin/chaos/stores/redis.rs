//! One Redis server.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::{Redis, SmallDisk};
use dlock_testkit::stores;

use super::FILL_DISK;
use super::entries::Entries;

const STOP: &str = "stop server";
const RESTART: &str = "restart server";
const KILL_CONNECTIONS: &str = "kill connections";
const FORGET_SCRIPTS: &str = "forget scripts";
const CLOCK_AHEAD: &str = "step clock ahead";
const CLOCK_BACK: &str = "step clock back";

/// How much its disk takes.
const DISK: u64 = 64 << 20;

/// How far the server's clock is stepped: past any ttl.
const STEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct RedisTarget {
    server: Redis,
    has_steppable_clock: bool,
    has_disk: bool,
    entries: Entries,
}

impl RedisTarget {
    pub(super) async fn start() -> Self {
        let has_steppable_clock = Redis::can_step_clocks().is_ok();
        let builder = Redis::builder().append_only();
        let builder = if has_steppable_clock { builder.with_steppable_clock() } else { builder };
        let has_disk = SmallDisk::available().is_ok();
        let builder = if has_disk { builder.with_disk(DISK) } else { builder };
        let server = builder.start().await;
        let entries = Entries::of(stores::open(&server.url()).expect("the server's url is good"));
        Self { server, has_steppable_clock, has_disk, entries }
    }

    async fn run(&self, command: &[&str]) {
        let client = redis::Client::open(self.server.url()).expect("the server's url is good");
        let mut connection = client.get_multiplexed_async_connection().await.expect("the server is there");
        let mut words = redis::cmd(command[0]);
        words.arg(&command[1..]).exec_async(&mut connection).await.expect("the server obeys");
    }
}

#[async_trait]
impl Target for RedisTarget {
    fn store(&self) -> &str {
        "redis"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        vec![self.server.addr()]
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        format!("redis://{}", servers[0])
    }

    fn client(&self) -> Box<dyn Connect> {
        self.entries.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |name, aim| Kind { name, aim, breaks_exclusion: false };
        let mut kinds = vec![
            kind(STOP, Aim::Servers),
            kind(RESTART, Aim::Servers),
            kind(KILL_CONNECTIONS, Aim::ServersOnce),
            kind(FORGET_SCRIPTS, Aim::ServersOnce),
        ];
        if self.has_steppable_clock {
            let step = |name| Kind { name, aim: Aim::Servers, breaks_exclusion: true };
            kinds.extend([step(CLOCK_AHEAD), step(CLOCK_BACK)]);
        }
        kinds.extend(self.has_disk.then_some(FILL_DISK));
        kinds.extend(Entries::kinds());
        kinds
    }

    async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            _ if fault.kind == FILL_DISK => self.server.fill_disk(),
            STOP => self.server.stop(),
            RESTART => self.server.kill(),
            KILL_CONNECTIONS => self.run(&["CLIENT", "KILL", "SKIPME", "yes"]).await,
            FORGET_SCRIPTS => self.run(&["SCRIPT", "FLUSH"]).await,
            CLOCK_AHEAD => self.server.step_clock_ahead(STEP),
            CLOCK_BACK => self.server.step_clock_back(STEP),
            _ => return self.entries.begin(fault).await,
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
            _ => self.entries.end(fault).await,
        }
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.entries.count(namespace).await)
    }
}
