//! Redis under Sentinel, of the test's own.

use dlock_testkit::servers::{RedisProgram, RedisSentinel};

use crate::talk::{command, eventually};

#[tokio::test]
async fn a_replica_takes_over_when_the_primary_is_killed() {
    let Ok(()) = RedisProgram::Redis.installed() else { return };
    let redis = RedisSentinel::start().await;
    assert_eq!(redis.primary().await, Some(0));
    assert!(redis.url().starts_with("redis-sentinel://127.0.0.1:"), "{}", redis.url());
    let set = command(redis.addr(0), "SET key value").expect("redis answers");
    assert_eq!(set, "+OK");
    for replica in 1..3 {
        eventually(|| command(redis.addr(replica), "STRLEN key").is_ok_and(|length| length == ":5"));
    }

    redis.node(0).kill();
    assert!(command(redis.addr(0), "PING").is_err());
    let next = redis.wait_for_primary(Some(0)).await;
    assert_eq!(command(redis.addr(next), "SET key longer").expect("redis answers"), "+OK");
    redis.restart(0).await;
    eventually(|| command(redis.addr(0), "STRLEN key").is_ok_and(|length| length == ":6"));
    assert_eq!(redis.primary().await, Some(next), "the old primary follows the new one");
}

#[tokio::test]
async fn a_primary_that_is_cut_off_serves_on_until_it_joins_again() {
    let Ok(()) = RedisProgram::Redis.installed() else { return };
    let redis = RedisSentinel::start().await;
    redis.isolate(0);
    let next = redis.wait_for_primary(Some(0)).await;
    // This is how such a setup loses a lock: there are two primaries now.
    assert_eq!(command(redis.addr(0), "SET key old").expect("redis answers"), "+OK");
    assert_eq!(command(redis.addr(next), "SET key value").expect("redis answers"), "+OK");
    redis.rejoin(0);
    eventually(|| command(redis.addr(0), "STRLEN key").is_ok_and(|length| length == ":5"));

    // Sentinels can be ended too: one of three decides nothing.
    for sentinel in redis.sentinels().take(2) {
        redis.node(sentinel).kill();
    }
    assert_eq!(redis.primary().await, None);
    redis.restart(redis.sentinels().start).await;
    assert_eq!(redis.wait_for_primary(None).await, next, "sentinels remember");
}
