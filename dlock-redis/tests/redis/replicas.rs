//! Grants that replicas must acknowledge.

use std::time::{Duration, Instant};

use dlock_core::{ErrorKind, Event, Gone, Landed, Queue, Renewal, Requested};
use dlock_redis::RedisConfig;
use dlock_testkit::servers::{Redis, RedisCluster, RedisProgram, RedisSentinel};
use futures::future::join_all;

use crate::support::{Client, World, claim, eventually, exclusive};

/// A primary and its replicas.
struct Flock {
    primary: World,
    replicas: Vec<World>,
}

impl Flock {
    async fn start(count: usize) -> Option<Self> {
        // A replica that connects is served at once.
        let primary = World::start_with(Redis::builder().with_args(["--repl-diskless-sync-delay", "0"])).await?;
        let of = format!("127.0.0.1 {}", primary.server.addr().port());
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(World::start_with(Redis::builder().with_args(["--replicaof", &of])).await?);
        }
        let flock = Self { primary, replicas };
        eventually("the replicas follow", || async {
            let info: redis::InfoDict = flock.primary.run(&["INFO", "replication"]).await;
            (0..count).all(|at| {
                info.get::<String>(&format!("slave{at}")).is_some_and(|replica| replica.contains("state=online"))
            })
        })
        .await;
        Some(flock)
    }

    /// Half of the timeout is how long replicas have.
    fn config(&self, replicas: u32, timeout: Duration) -> RedisConfig {
        self.primary.config().with_replicas(replicas).with_request_timeout(timeout)
    }

    async fn client(&self, replicas: u32, timeout: Duration) -> Client {
        Client::connect(self.config(replicas, timeout)).await.unwrap()
    }
}

const MAIN: &str = "dlock:{0}:name:a";
const ORDER: &str = "dlock:{0}:order:a";
/// Enough for replicas that live.
const PATIENT: Duration = Duration::from_secs(20);
/// Soon over for replicas that do not.
const SHORT: Duration = Duration::from_millis(600);

#[tokio::test]
async fn what_is_granted_is_on_the_replicas() {
    let Some(flock) = Flock::start(2).await else { return };
    let (one, mut two) = (flock.client(2, PATIENT).await, flock.client(2, PATIENT).await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    let grant = one.hold(&held).await;
    for replica in &flock.replicas {
        let stored: String = replica.run(&["GET", MAIN]).await;
        let token = format!(" {} ", grant.token.value);
        assert!(stored.contains(&held.id.to_string()) && stored.contains(&token), "{stored}");
    }
    two.queue(&waiting).await;
    one.release(&held).await;
    let next = two.granted(&waiting).await;
    assert!(next.token > grant.token);
    for replica in &flock.replicas {
        assert_eq!(replica.run::<Vec<String>>(&["ZRANGE", ORDER, "0", "-1"]).await, [waiting.id.to_string()]);
        assert_eq!(replica.run::<String>(&["HGET", MAIN, "held"]).await, "1");
    }
    assert!(matches!(two.renew(&waiting).await, Renewal::Alive { grant: Some(same), .. } if same == next));
    two.release(&waiting).await;
    assert!(one.backend.fast_path().is_none(), "what must be acknowledged has no short cut");
}

#[tokio::test]
async fn too_few_replicas_grant_nothing_and_leave_nothing() {
    let Some(flock) = Flock::start(1).await else { return };
    let client = flock.client(1, SHORT).await;
    flock.replicas[0].server.stop();
    for queue in [Queue::Yes, Queue::No] {
        let start = Instant::now();
        let error = client.backend.request(&exclusive("a"), queue).await.unwrap_err();
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::No), "{error}");
        assert!(error.to_string().contains("0 of 1 replicas acknowledged"), "{error}");
        assert!(start.elapsed() < client.backend.info().request_timeout, "{:?}", start.elapsed());
        assert!(client.inspect("a").await.is_free());
    }
    flock.replicas[0].server.resume();
    let again = exclusive("a");
    eventually("a replica acknowledges again", || async {
        matches!(client.backend.request(&again, Queue::No).await, Ok(Requested::Held(..)))
    })
    .await;
    client.release(&again).await;
    let more = flock.client(2, Duration::from_secs(4)).await;
    let error = more.backend.request(&exclusive("a"), Queue::Yes).await.unwrap_err();
    assert!(error.to_string().contains("1 of 2 replicas acknowledged"), "{error}");
}

#[tokio::test]
async fn a_grant_that_was_pushed_waits_for_replicas_too() {
    let Some(flock) = Flock::start(1).await else { return };
    let (one, mut two) = (flock.client(0, PATIENT).await, flock.client(1, SHORT).await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    two.queue(&waiting).await;
    flock.replicas[0].server.stop();
    one.release(&held).await;
    // A renewal finds it granted, and does not say so either.
    let renewed = two.renew(&waiting).await;
    assert!(!matches!(renewed, Renewal::Alive { grant: Some(_), .. }), "{renewed:?}");
    assert_eq!(two.event().await, Event::Gone(waiting.id, Gone::Absent), "not granted");
    assert!(one.inspect("a").await.is_free());
    flock.replicas[0].server.resume();
    let patient = flock.client(1, PATIENT).await;
    let next = exclusive("a");
    patient.hold(&next).await;
    patient.release(&next).await;
}

#[tokio::test]
async fn claims_that_come_together_share_the_wait() {
    let Some(flock) = Flock::start(1).await else { return };
    let client = flock.client(1, PATIENT).await;
    flock.primary.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    let claims: Vec<_> = (0..300).map(|at| exclusive(&format!("n/{at}"))).collect();
    let held = join_all(claims.iter().map(|claim| client.hold(claim))).await;
    assert_eq!(held.len(), 300);
    let waits = flock.primary.calls("wait").await;
    assert!((1..=150).contains(&waits), "{waits} waits for 300 claims");
}

#[tokio::test]
async fn proving_outlives_the_scripts_and_the_connections() {
    let Some(flock) = Flock::start(1).await else { return };
    let client = flock.client(1, PATIENT).await;
    let first = exclusive("a");
    client.hold(&first).await;
    client.release(&first).await;
    flock.primary.run::<()>(&["SCRIPT", "FLUSH"]).await;
    let second = exclusive("a");
    client.hold(&second).await;
    client.release(&second).await;
    // The connections of everybody but this one.
    flock.primary.run::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    let third = claim("a", dlock_core::Mode::Shared, PATIENT);
    client.hold(&third).await;
    client.release(&third).await;
    assert!(client.inspect("a").await.is_free());
}

#[tokio::test]
async fn a_failover_keeps_what_all_replicas_acknowledged() {
    if RedisProgram::Redis.installed().is_err() {
        return;
    }
    let redis = RedisSentinel::start().await;
    let config = |replicas| {
        let config = RedisConfig::from_url(&redis.url()).unwrap().with_replicas(replicas);
        config.with_request_timeout(Duration::from_secs(4))
    };
    let client = Client::connect(config(2)).await.unwrap();
    let held = exclusive("a");
    let grant = client.hold(&held).await;
    redis.node(0).kill();
    redis.wait_for_primary(Some(0)).await;
    eventually("the new primary knows the grant", || async {
        matches!(client.backend.renew(&[held.to_ref()]).await.remove(0), Ok(Renewal::Alive { grant: Some(same), .. })
            if same == grant)
    })
    .await;
    // Grants are proven by its replicas now, of which it has one.
    let error = client.backend.request(&exclusive("b"), Queue::No).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let less = Client::connect(config(1)).await.unwrap();
    let other = exclusive("b");
    eventually("the other replica follows", || async {
        matches!(less.backend.request(&other, Queue::No).await, Ok(Requested::Held(..)))
    })
    .await;
    less.release(&other).await;
}

#[tokio::test]
async fn each_node_of_a_cluster_has_replicas_of_its_own() {
    if RedisProgram::Redis.installed().is_err() {
        return;
    }
    let cluster = RedisCluster::start().await;
    let config = |replicas| {
        let config = RedisConfig::from_url(&cluster.url()).unwrap().with_replicas(replicas);
        config.with_request_timeout(Duration::from_secs(6))
    };
    let client = Client::connect(config(1)).await.unwrap();
    let claims: Vec<_> = (0..30).map(|at| exclusive(&format!("n/{at}"))).collect();
    join_all(claims.iter().map(|claim| client.hold(claim))).await;
    join_all(claims.iter().map(|claim| client.release(claim))).await;
    let more = Client::connect(config(2)).await.unwrap();
    let error = more.backend.request(&exclusive("a"), Queue::No).await.unwrap_err();
    assert!(error.to_string().contains("1 of 2 replicas acknowledged"), "{error}");
}
