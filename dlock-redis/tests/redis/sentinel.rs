//! Primaries that sentinels name, and their successors.

use std::time::{Duration, Instant};

use dlock_core::{Error, ErrorKind, Queue, Renewal, Requested, Why};
use dlock_redis::RedisConfig;
use dlock_testkit::servers::{RedisProgram, RedisSentinel};

use crate::support::{Client, ask, connection, eventually, exclusive, is_heard, try_to};

/// Long enough for a busy machine to connect in.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `None` where no server can be had; that was printed then.
async fn start() -> Option<RedisSentinel> {
    RedisProgram::Redis.installed().ok()?;
    Some(RedisSentinel::start().await)
}

async fn client(redis: &RedisSentinel) -> Client {
    Client::connect(RedisConfig::from_url(&redis.url()).unwrap().with_request_timeout(TIMEOUT)).await.unwrap()
}

async fn refusal(config: RedisConfig) -> Error {
    match Client::connect(config.with_request_timeout(TIMEOUT)).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    }
}

/// Waits until the replicas have all that was written.
async fn replicate(redis: &RedisSentinel, primary: usize) {
    let script = "redis.call('SET', 'marker', '') return 1";
    let mut raw = connection(redis.addr(primary)).await;
    let _: i32 = redis::cmd("EVAL").arg(script).arg(0).query_async(&mut raw).await.unwrap();
    let replicas: usize = redis::cmd("WAIT").arg(2).arg(10_000).query_async(&mut raw).await.unwrap();
    assert_eq!(replicas, 2);
}

#[tokio::test]
async fn a_lock_and_its_waiter_outlive_a_failover() {
    let Some(redis) = start().await else { return };
    let (one, mut two) = (client(&redis).await, client(&redis).await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    let first = one.hold(&held).await;
    two.queue(&waiting).await;
    replicate(&redis, 0).await;
    redis.node(0).kill();
    two.suspect().await;
    let next = redis.wait_for_primary(Some(0)).await;
    eventually("the lock is renewed at the new primary", || async {
        matches!(one.backend.renew(&[held.to_ref()]).await.remove(0), Ok(Renewal::Alive { grant: Some(grant), .. })
            if grant == first)
    })
    .await;
    eventually("the waiter is heard there", || async {
        matches!(two.backend.renew(&[waiting.to_ref()]).await.remove(0), Ok(Renewal::Alive { grant: None, .. }))
    })
    .await;
    assert!(is_heard(redis.addr(next), 2).await);
    one.release(&held).await;
    let second = two.granted(&waiting).await;
    assert!(first.token < second.token, "{first:?} {second:?}");
    two.release(&waiting).await;
}

#[tokio::test]
async fn a_primary_that_was_replaced_is_left_though_it_answers() {
    let Some(redis) = start().await else { return };
    let (one, mut two) = (client(&redis).await, client(&redis).await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    two.queue(&waiting).await;
    replicate(&redis, 0).await;
    redis.isolate(0);
    let next = redis.wait_for_primary(Some(0)).await;
    eventually("both have left it", || async {
        is_heard(redis.addr(0), 0).await && is_heard(redis.addr(next), 2).await
    })
    .await;
    // What happens now happens at the new primary.
    eventually("the release gets through", || async {
        one.backend.withdraw(&held.to_ref(), Why::Release).await.is_ok()
    })
    .await;
    two.granted(&waiting).await;
    assert_eq!(ask::<u32>(redis.addr(0), &["EXISTS", "dlock:{0}:name:a"]).await, 1, "it knows of no release");
    redis.rejoin(0);
    eventually("the old primary follows", || async {
        // Connections are ended when it begins to.
        let info = try_to::<String>(redis.addr(0), &["INFO", "replication"]).await;
        info.is_ok_and(|info| info.contains("master_link_status:up"))
    })
    .await;
    two.release(&waiting).await;
}

#[tokio::test]
async fn sentinels_that_hang_or_are_gone_hold_nobody_up() {
    let Some(redis) = start().await else { return };
    let [hanging, gone, well] = [0, 1, 2].map(|at| redis.sentinels().start + at);
    redis.node(hanging).stop();
    redis.node(gone).kill();
    let addresses = [hanging, gone, well].map(|member| redis.addr(member).to_string());
    let config = RedisConfig::sentinel(addresses, redis.service()).unwrap().with_request_timeout(TIMEOUT * 4);
    // A sentinel is given half of it, were it waited for.
    let start = Instant::now();
    let client = Client::connect(config).await.unwrap();
    assert!(start.elapsed() < TIMEOUT * 2, "it took {:?}", start.elapsed());
    client.hold(&exclusive("a")).await;
    redis.node(hanging).resume();
}

#[tokio::test]
async fn who_connects_while_there_is_no_primary_waits_for_the_next() {
    let Some(redis) = start().await else { return };
    redis.node(0).kill();
    let patient = RedisConfig::from_url(&redis.url()).unwrap().with_request_timeout(Duration::from_secs(20));
    let client = Client::connect(patient).await.unwrap();
    client.hold(&exclusive("a")).await;
    assert_ne!(redis.primary().await, Some(0));
}

#[tokio::test]
async fn a_failover_on_request_loses_nothing() {
    let Some(redis) = start().await else { return };
    let (one, mut two) = (client(&redis).await, client(&redis).await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    two.queue(&waiting).await;
    replicate(&redis, 0).await;
    eventually("a sentinel begins it", || async {
        try_to::<()>(redis.addr(redis.sentinels().start), &["SENTINEL", "FAILOVER", "dlock"]).await.is_ok()
    })
    .await;
    let next = redis.wait_for_primary(Some(0)).await;
    eventually("both are there", || is_heard(redis.addr(next), 2)).await;
    eventually("the release gets through", || async {
        one.backend.withdraw(&held.to_ref(), Why::Release).await.is_ok()
    })
    .await;
    two.granted(&waiting).await;
}

#[tokio::test]
async fn requests_wait_while_the_server_is_a_replica() {
    let Some(redis) = start().await else { return };
    let config = RedisConfig::from_url(&redis.url()).unwrap().with_request_timeout(Duration::from_secs(20));
    let client = Client::connect(config).await.unwrap();
    ask::<()>(redis.addr(0), &["REPLICAOF", "127.0.0.1", "1"]).await;
    let (claim, next) = (exclusive("a"), exclusive("b"));
    let request = client.backend.request(&claim, Queue::Yes);
    let promotion = async {
        // The sentinels take longer to notice.
        eventually("the request has met the replica", || is_heard(redis.addr(0), 0)).await;
        ask::<()>(redis.addr(0), &["REPLICAOF", "NO", "ONE"]).await;
    };
    let (requested, ()) = tokio::join!(request, promotion);
    assert!(matches!(requested, Ok(Requested::Held(..))), "{requested:?}");
    client.hold(&next).await;
}

#[tokio::test]
async fn a_service_that_no_sentinel_knows_is_named() {
    let Some(redis) = start().await else { return };
    redis.node(redis.sentinels().start).kill();
    let config = RedisConfig::from_url(&redis.url().replace("/dlock", "/other")).unwrap();
    let error = refusal(config).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("no service \"other\": use a name that SENTINEL MASTERS lists"), "{error}");
    let error = refusal(RedisConfig::sentinel([redis.addr(1).to_string()], "dlock").unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("it is no sentinel"), "{error}");
}

#[tokio::test]
async fn sentinels_have_a_login_of_their_own() {
    let Some(redis) = start().await else { return };
    for sentinel in redis.sentinels() {
        ask::<()>(redis.addr(sentinel), &["ACL", "SETUSER", "watcher", "on", ">pw", "allchannels", "+@all"]).await;
        ask::<()>(redis.addr(sentinel), &["ACL", "SETUSER", "default", "off"]).await;
    }
    let error = refusal(RedisConfig::from_url(&redis.url()).unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let url = format!("{}?sentinel-user=watcher&sentinel-password=pw", redis.url());
    let client = Client::connect(RedisConfig::from_url(&url).unwrap()).await.unwrap();
    client.hold(&exclusive("a")).await;
}
