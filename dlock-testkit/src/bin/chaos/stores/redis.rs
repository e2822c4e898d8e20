//! One Redis server.

use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Deployment, Kind};
use dlock_testkit::servers::Redis;
use dlock_testkit::stores;

use super::entries::Entries;

const STOP: &str = "stop server";
const RESTART: &str = "restart server";
const KILL_CONNECTIONS: &str = "kill connections";
const FORGET_SCRIPTS: &str = "forget scripts";

#[derive(Debug)]
pub(super) struct RedisDeployment {
    server: Redis,
    entries: Entries,
}

impl RedisDeployment {
    pub(super) async fn start() -> Self {
        let server = Redis::builder().append_only().start().await;
        let entries = Entries::of(stores::open(&server.url()).expect("the server's url is good"));
        Self { server, entries }
    }

    async fn run(&self, command: &[&str]) {
        let client = redis::Client::open(self.server.url()).expect("the server's url is good");
        let mut connection = client.get_multiplexed_async_connection().await.expect("the server is there");
        let mut words = redis::cmd(command[0]);
        words.arg(&command[1..]).exec_async(&mut connection).await.expect("the server obeys");
    }
}

#[async_trait]
impl Deployment for RedisDeployment {
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
        let own = [
            kind(STOP, Aim::Servers),
            kind(RESTART, Aim::Servers),
            kind(KILL_CONNECTIONS, Aim::ServersOnce),
            kind(FORGET_SCRIPTS, Aim::ServersOnce),
        ];
        [&own[..], &Entries::kinds()].concat()
    }

    async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            STOP => self.server.stop(),
            RESTART => self.server.kill(),
            KILL_CONNECTIONS => self.run(&["CLIENT", "KILL", "SKIPME", "yes"]).await,
            FORGET_SCRIPTS => self.run(&["SCRIPT", "FLUSH"]).await,
            _ => return self.entries.begin(fault).await,
        }
        "the server".to_owned()
    }

    async fn end(&self, fault: &Aimed) {
        match fault.kind.name {
            STOP => self.server.resume(),
            RESTART => self.server.restart().await,
            _ => self.entries.end(fault).await,
        }
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.entries.count(namespace).await)
    }
}
