//! What is found out about a server when connecting.

use std::io;
use std::sync::{Arc, Mutex};

use dlock_core::{Error, ErrorKind, Landed, Namespace};
use dlock_redis::{RedisConfig, acl_rules};
use dlock_testkit::servers::{Redis, RedisCluster, RedisSentinel};
use tracing::subscriber::DefaultGuard;

use crate::support::{Client, World, exclusive};

/// What this thread logs while it exists.
struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).with_target(true).finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// What this crate logged so far.
    fn told(&self) -> Vec<String> {
        let bytes = self.lines.0.lock().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| line.contains("dlock_redis")).map(str::to_owned).collect()
    }

    /// The one line it logged.
    fn only(&self) -> String {
        let told = self.told();
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].clone()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn refusal(config: RedisConfig) -> Error {
    let error = Client::connect(config).await.err().expect("it is refused");
    assert_eq!(error.landed(), Landed::No);
    error
}

/// The first address in a URL that names several.
fn first_address(url: &str) -> String {
    let rest = url.split_once("://").unwrap().1;
    rest.split([',', '/', '?']).next().unwrap().to_owned()
}

#[tokio::test]
async fn settings_that_lose_locks_are_told_of() {
    let safe: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
    for (args, level, what) in [
        (safe, "", ""),
        (&["--appendonly", "yes", "--appendfsync", "everysec"], "INFO", "every second"),
        (&["--appendonly", "yes", "--appendfsync", "no"], "INFO", "half minute"),
        (&["--save", "3600 1"], "INFO", "snapshots only"),
        (&[], "WARN", "keeps nothing on disk"),
        (&[safe, &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]].concat(), "WARN", "noeviction"),
        (&[safe, &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"]].concat(), "WARN", "that expire"),
        (&[safe, &["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]].concat(), "", ""),
    ] {
        let Some(world) = World::start_with(Redis::builder().with_args(args.iter().copied())).await else { return };
        let log = Log::start();
        let _client = world.client().await;
        if level.is_empty() {
            assert_eq!(log.told(), [""; 0], "{args:?}");
        } else {
            let line = log.only();
            assert!(line.contains(level) && line.contains(what), "{args:?}: {line}");
        }
    }
}

#[tokio::test]
async fn it_is_told_once_however_often_the_client_reconnects() {
    let Some(world) = World::start().await else { return };
    let log = Log::start();
    let mut client = world.client().await;
    for _ in 0..3 {
        world.run::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        client.suspect().await;
        let claim = exclusive("a");
        client.hold(&claim).await;
        client.release(&claim).await;
    }
    assert!(log.only().contains("keeps nothing on disk"));
    let _other = world.client().await;
    assert_eq!(log.told().len(), 2, "another client");
}

#[tokio::test]
async fn what_a_user_may_not_see_is_told_too() {
    let Some(world) = World::start_with(Redis::builder().append_only()).await else { return };
    let rules = acl_rules(&Namespace::default());
    let rules: Vec<&str> = rules.split(' ').collect();
    for (more, told) in [
        (&["+config|get"][..], None),
        (&[], Some(("INFO", "may not see how often redis syncs"))),
        (&["-info"], Some(("WARN", "may not run INFO"))),
    ] {
        world.run::<()>(&[&["ACL", "SETUSER", "locks", "reset", "on", ">pw"], &rules[..], more].concat()).await;
        let log = Log::start();
        let client = Client::connect(world.config().with_login("locks", "pw")).await.unwrap();
        match told {
            None => assert_eq!(log.told(), [""; 0]),
            Some((level, what)) => assert!(log.only().contains(level) && log.only().contains(what), "{}", log.only()),
        }
        let claim = exclusive("a");
        client.hold(&claim).await;
        client.release(&claim).await;
    }
}

#[tokio::test]
async fn a_replica_is_refused() {
    let Some(world) = World::start_with(Redis::builder().with_args(["--replicaof", "127.0.0.1 1"])).await else {
        return;
    };
    let error = refusal(world.config()).await;
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.to_string().contains("read-only replica: use its primary"), "{error}");
}

#[tokio::test]
async fn a_sentinel_is_refused_as_a_server_and_names_the_way() {
    let Ok(()) = Redis::installed() else { return };
    let sentinels = RedisSentinel::start().await;
    let error = refusal(RedisConfig::new(&first_address(&sentinels.url())).unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("redis-sentinel://"), "{error}");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_refused_as_a_server_and_names_the_way() {
    let Ok(()) = Redis::installed() else { return };
    let cluster = RedisCluster::start().await;
    let error = refusal(RedisConfig::new(&first_address(&cluster.url())).unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}
