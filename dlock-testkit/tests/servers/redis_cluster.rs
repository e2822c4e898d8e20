//! Redis Clusters of the test's own.

use dlock_testkit::servers::{RedisCluster, RedisProgram};

use crate::talk::{command, commands, eventually};

#[tokio::test]
async fn a_replica_takes_over_the_slots_of_a_killed_primary() {
    let Ok(()) = RedisProgram::Redis.installed() else { return };
    replica_takes_over(RedisProgram::Redis).await;
}

#[tokio::test]
async fn valkey_forms_clusters_too() {
    let Ok(()) = RedisProgram::Valkey.installed() else { return };
    replica_takes_over(RedisProgram::Valkey).await;
}

async fn replica_takes_over(program: RedisProgram) {
    let redis = RedisCluster::builder().with_program(program).start().await;
    assert_eq!(redis.url().matches("127.0.0.1:").count(), 6);
    let (slot, primary) = (slot(&redis), primary_of_key(&redis).await);
    assert!(primary < 3, "the first three are the primaries");
    assert_eq!(command(redis.addr(primary), "SET key value").expect("redis answers"), "+OK");
    let elsewhere = command(redis.addr((primary + 1) % 3), "GET key").expect("redis answers");
    assert!(elsewhere.starts_with(&format!("-MOVED {slot} 127.0.0.1:")), "{elsewhere}");

    redis.node(primary).kill();
    let next = redis.wait_for_primary_of(slot, Some(primary)).await;
    assert_eq!(next, primary + 3, "its replica takes over");
    redis.wait_until_ok().await;
    assert_eq!(command(redis.addr(next), "SET key longer").expect("redis answers"), "+OK");
    redis.restart(primary).await;
    eventually(|| follows(&redis, primary));
    assert_eq!(redis.primary_of(slot).await, Some(next));
}

#[tokio::test]
async fn a_primary_that_is_cut_off_from_the_cluster_is_replaced() {
    let Ok(()) = RedisProgram::Redis.installed() else { return };
    let redis = RedisCluster::start().await;
    let (slot, primary) = (slot(&redis), primary_of_key(&redis).await);
    redis.isolate(primary);
    let next = redis.wait_for_primary_of(slot, Some(primary)).await;
    let answer = || command(redis.addr(primary), "SET key value").expect("its port for clients is open");
    eventually(|| answer().starts_with("-CLUSTERDOWN"));
    redis.rejoin(primary);
    eventually(|| follows(&redis, primary));
    assert_eq!(redis.primary_of(slot).await, Some(next));
    redis.wait_until_ok().await;
}

fn follows(redis: &RedisCluster, member: usize) -> bool {
    commands(redis.addr(member), "INFO replication").is_ok_and(|info| info.contains("master_link_status:up"))
}

fn slot(redis: &RedisCluster) -> u16 {
    let slot = command(redis.addr(0), "CLUSTER KEYSLOT key").expect("redis answers");
    slot.trim_start_matches(':').parse().expect("a slot is a number")
}

async fn primary_of_key(redis: &RedisCluster) -> usize {
    redis.primary_of(slot(redis)).await.expect("a cluster that has started has all its primaries")
}
