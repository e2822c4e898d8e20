//! The fast path: free names taken and given back on a connection of the callers' own.

use std::time::Duration;

use dlock_core::{ErrorKind, Locks};
use dlock_testkit::servers::Redis;
use redis::InfoDict;

use crate::support::{BOUND, World, eventually};

/// Enough cycles for a client to count as busy.
const BUSY: usize = 40;

async fn cycle(locks: &Locks, name: &str) {
    let guard = locks.lock(name).unwrap().acquire().await.unwrap();
    guard.release().await.unwrap();
}

async fn connections(world: &World) -> u64 {
    world.run::<InfoDict>(&["INFO", "clients"]).await.get("connected_clients").unwrap()
}

/// A client that has a connection of its callers' own on this runtime.
async fn busy(world: &World) -> Locks {
    let before = connections(world).await;
    let timeout = Duration::from_secs(1);
    let config = world.config().with_request_timeout(timeout);
    let locks = Locks::builder(config).ttl(Duration::from_secs(120)).connect().await.unwrap();
    eventually("callers have a connection of their own", || async {
        for _ in 0..BUSY {
            cycle(&locks, "warm").await;
        }
        connections(world).await >= before + 2
    })
    .await;
    locks
}

#[tokio::test]
async fn a_busy_client_sends_two_requests_for_each_cycle_and_none_by_the_keeper() {
    let Some(world) = World::start().await else { return };
    let locks = busy(&world).await;
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    for _ in 0..100 {
        cycle(&locks, "a").await;
    }
    for (command, calls) in [("set", 100), ("hincrby", 100), ("evalsha", 100), ("del", 100), ("subscribe", 0)] {
        assert_eq!(world.calls(command).await, calls, "{command}");
    }
    let mine: String = world.run(&["CLIENT", "LIST", "TYPE", "normal"]).await;
    assert_eq!(mine.lines().filter(|line| line.contains("cmd=evalsha")).count(), 1, "{mine}");
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let state = locks.inspect("a").await.unwrap();
    assert_eq!(state.holders[0].token, Some(guard.token().unwrap()));
    guard.release().await.unwrap();
    assert_eq!(world.keys().await, ["dlock:{0}:tokens"]);
}

#[tokio::test]
async fn tokens_of_both_ways_grow_in_one_order() {
    let Some(world) = World::start().await else { return };
    let (busy, slow) = (busy(&world).await, world.client().await);
    let mut last = None;
    for round in 0..50 {
        let token = if round % 2 == 0 {
            let guard = busy.lock("a").unwrap().acquire().await.unwrap();
            let token = guard.token().unwrap();
            guard.release().await.unwrap();
            token
        } else {
            let claim = crate::support::exclusive("a");
            let grant = slow.hold(&claim).await;
            slow.release(&claim).await;
            grant.token
        };
        assert!(last.is_none_or(|last| token > last), "{token:?} after {last:?}");
        last = Some(token);
    }
}

#[tokio::test]
async fn forgotten_scripts_and_a_lost_history_are_got_over() {
    let Some(world) = World::start().await else { return };
    let locks = busy(&world).await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let before = guard.token().unwrap();
    world.run::<()>(&["SCRIPT", "FLUSH"]).await;
    guard.release().await.unwrap();
    world.run::<()>(&["FLUSHALL"]).await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let after = guard.token().unwrap();
    assert_ne!(after.epoch, before.epoch);
    guard.release().await.unwrap();
    assert_eq!(world.keys().await, ["dlock:{0}:tokens"]);
}

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_callers_patience() {
    let Some(world) = World::start().await else { return };
    let locks = busy(&world).await;
    let held = locks.lock("held").unwrap().acquire().await.unwrap();
    world.server.stop();
    let patience = Duration::from_secs(3);
    let waited = tokio::time::timeout(BOUND, locks.lock("a").unwrap().acquire_within(patience)).await;
    assert_eq!(waited.expect("patience ends").unwrap_err().kind(), ErrorKind::Unavailable);
    let release = tokio::spawn(held.release());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.server.resume();
    tokio::time::timeout(BOUND, release).await.expect("it is answered").unwrap().unwrap();
    eventually("nothing is left", || async { world.keys().await == ["dlock:{0}:tokens"] }).await;
    cycle(&locks, "a").await;
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let Some(world) = World::start().await else { return };
    let locks = busy(&world).await;
    for _ in 0..5 {
        world.run::<i64>(&["CLIENT", "KILL", "SKIPME", "yes"]).await;
        for _ in 0..BUSY {
            cycle(&locks, "a").await;
        }
    }
    eventually("nothing is left", || async { world.keys().await == ["dlock:{0}:tokens"] }).await;
}

#[test]
fn a_runtime_that_dies_in_the_middle_leaves_nothing_and_the_client_goes_on() {
    if Redis::installed().is_err() {
        return;
    }
    let (outer, inner) = (runtime(), runtime());
    let world = outer.block_on(World::start()).unwrap();
    let locks = inner.block_on(busy(&world));
    let held: Vec<_> =
        (0..20).map(|n| inner.block_on(locks.lock(format!("h{n}")).unwrap().acquire()).unwrap()).collect();
    for number in 0..200 {
        let lock = locks.lock(format!("n{number}")).unwrap();
        inner.spawn(async move {
            let _guard = lock.acquire().await;
            std::future::pending::<()>().await;
        });
    }
    inner.shutdown_background();
    drop(held);
    outer.block_on(async {
        eventually("nothing is left", || async { world.keys().await == ["dlock:{0}:tokens"] }).await;
        for _ in 0..3 * BUSY {
            cycle(&locks, "a").await;
        }
    });
    futures::executor::block_on(cycle(&locks, "without a runtime"));
    futures::executor::block_on(locks.close()).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
