//! The fast path: free names taken and given back on a connection of the callers' own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dlock_core::{ErrorKind, Locks};
use dlock_redis::RedisConfig;
use dlock_testkit::proxy::{Direction, Flow, Link, Proxy};
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

/// A way to the server on which connections that are made while the switch is on are those of the link.
fn with_a_slow_line(world: &World) -> (Proxy, Link, Arc<AtomicBool>) {
    let (slow, is_slow) = (Link::new(), Arc::new(AtomicBool::new(false)));
    let filter = {
        let (slow, is_slow) = (slow.clone(), is_slow.clone());
        move |_: SocketAddr| is_slow.load(Ordering::SeqCst).then(|| slow.clone())
    };
    let proxy = Proxy::builder(addr(world)).with_filter(filter).start().unwrap();
    (proxy, slow, is_slow)
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
    cycle(&locks, "a").await;
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    for _ in 0..20 {
        cycle(&locks, "a").await;
    }
    assert_eq!((world.calls("set").await, world.calls("evalsha").await), (20, 20), "all of them go the fast way again");
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

#[tokio::test]
async fn callers_do_not_go_to_another_server_than_the_keeper() {
    let (Some(world), Some(other)) = (World::start().await, World::start().await) else { return };
    let proxy = Proxy::start(addr(&world)).unwrap();
    let locks = Locks::builder(by(&proxy)).ttl(Duration::from_secs(120)).connect().await.unwrap();
    // As a name or an address does that moves with the primary.
    proxy.retarget(addr(&other));
    for _ in 0..4 * BUSY {
        cycle(&locks, "warm").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let rival = Locks::builder(world.config()).connect().await.unwrap();
    assert!(rival.lock("a").unwrap().try_acquire().await.unwrap().is_none(), "two hold it");
    assert!(guard.is_held());
    assert_eq!(other.keys().await, [""; 0]);
}

#[tokio::test]
async fn a_release_ends_though_its_connection_hangs_and_has_been_replaced() {
    let Some(world) = World::start().await else { return };
    let (proxy, slow, is_slow) = with_a_slow_line(&world);
    let config = by(&proxy).with_request_timeout(Duration::from_secs(2));
    let locks = Locks::builder(config).ttl(Duration::from_secs(120)).connect().await.unwrap();
    is_slow.store(true, Ordering::SeqCst);
    is_served_fast(&world, &locks).await;
    is_slow.store(false, Ordering::SeqCst);
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    slow.set(Direction::ToServer, Flow::Hold);
    let release = tokio::spawn(guard.release());
    tokio::task::yield_now().await;
    // The keeper's connection is made anew, and beside it another for the callers.
    proxy.close_connections();
    for _ in 0..3 * BUSY {
        cycle(&locks, "warm").await;
    }
    tokio::time::timeout(BOUND, release).await.expect("it does not wait for ever").unwrap().unwrap();
    eventually("nothing is left", || async { world.keys().await == ["dlock:{0}:tokens"] }).await;
}

#[tokio::test]
async fn a_request_that_arrives_after_its_claim_was_withdrawn_leaves_nothing() {
    let Some(world) = World::start().await else { return };
    let (proxy, slow, is_slow) = with_a_slow_line(&world);
    let config = by(&proxy).with_request_timeout(Duration::from_secs(1));
    let locks = Locks::builder(config).ttl(Duration::from_secs(120)).connect().await.unwrap();
    is_slow.store(true, Ordering::SeqCst);
    is_served_fast(&world, &locks).await;
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    slow.set(Direction::ToServer, Flow::Hold);
    let lock = locks.lock("a").unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), lock.acquire()).await.is_err());
    eventually("the claim is withdrawn", || async { world.calls("evalsha").await > 0 }).await;
    slow.heal();
    eventually("its request arrives", || async { world.calls("set").await > 0 }).await;
    eventually("nothing is left", || async { world.keys().await == ["dlock:{0}:tokens"] }).await;
}

#[tokio::test]
async fn two_runtimes_each_have_a_connection() {
    let Some(world) = World::start().await else { return };
    let locks = busy(&world).await;
    let before = connections(&world).await;
    let other = std::thread::spawn({
        let locks = locks.clone();
        move || {
            runtime().block_on(async {
                for _ in 0..20 * BUSY {
                    cycle(&locks, "other").await;
                }
            });
        }
    });
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    while !other.is_finished() {
        cycle(&locks, "mine").await;
    }
    other.join().unwrap();
    assert!(world.calls("hello").await < 10, "connections are made again and again");
    assert!(connections(&world).await <= before + 2);
}

#[tokio::test]
async fn closing_ends_the_callers_connection() {
    let Some(world) = World::start().await else { return };
    let before = connections(&world).await;
    let locks = busy(&world).await;
    locks.close().await.unwrap();
    eventually("no connection is left", || async { connections(&world).await <= before }).await;
    drop(locks);
}

#[test]
fn a_runtime_that_dies_while_it_connects_does_not_keep_others_from_it() {
    if Redis::installed().is_err() {
        return;
    }
    let (outer, inner) = (runtime(), runtime());
    let world = outer.block_on(World::start()).unwrap();
    let (slow, is_slow) = (Link::new(), Arc::new(AtomicBool::new(false)));
    let filter = {
        let (slow, is_slow) = (slow.clone(), is_slow.clone());
        move |_: SocketAddr| is_slow.load(Ordering::SeqCst).then(|| slow.clone())
    };
    let proxy = outer.block_on(async { Proxy::builder(addr(&world)).with_filter(filter).start().unwrap() });
    let locks = inner.block_on(Locks::builder(by(&proxy)).ttl(Duration::from_secs(120)).connect()).unwrap();
    slow.set(Direction::ToServer, Flow::Hold);
    is_slow.store(true, Ordering::SeqCst);
    inner.block_on(async {
        for _ in 0..BUSY {
            cycle(&locks, "warm").await;
        }
    });
    inner.shutdown_background();
    is_slow.store(false, Ordering::SeqCst);
    outer.block_on(is_served_fast(&world, &locks));
}

#[test]
fn a_runtime_without_drivers_is_no_obstacle() {
    if Redis::installed().is_err() {
        return;
    }
    let outer = runtime();
    let world = outer.block_on(World::start()).unwrap();
    let locks = outer.block_on(Locks::builder(world.config()).ttl(Duration::from_secs(120)).connect()).unwrap();
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bare.block_on(async {
        for _ in 0..BUSY {
            cycle(&locks, "warm").await;
        }
    });
    outer.block_on(is_served_fast(&world, &locks));
}

#[test]
fn a_runtime_without_a_timer_is_served_fast() {
    if Redis::installed().is_err() {
        return;
    }
    let outer = runtime();
    let world = outer.block_on(World::start()).unwrap();
    let locks = outer.block_on(Locks::builder(world.config()).ttl(Duration::from_secs(120)).connect()).unwrap();
    let timeless = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let mut lines = 0;
    for _ in 0..20 {
        timeless.block_on(async {
            for _ in 0..BUSY {
                cycle(&locks, "a").await;
            }
        });
        lines = outer.block_on(evalsha_connections(&world));
        if lines >= 2 {
            break;
        }
    }
    assert!(lines >= 2, "callers never came to a connection of their own");
}

/// How many connections called a script last.
async fn evalsha_connections(world: &World) -> usize {
    let all: String = world.run(&["CLIENT", "LIST"]).await;
    all.lines().filter(|line| line.contains("cmd=evalsha")).count()
}

/// Waits until callers on this runtime have a connection of their own.
async fn is_served_fast(world: &World, locks: &Locks) {
    let before = connections(world).await;
    eventually("callers have a connection of their own", || async {
        for _ in 0..BUSY {
            cycle(locks, "warm").await;
        }
        connections(world).await > before
    })
    .await;
}

fn addr(world: &World) -> SocketAddr {
    world.server.url().trim_start_matches("redis://").trim_end_matches('/').parse().unwrap()
}

fn by(proxy: &Proxy) -> RedisConfig {
    RedisConfig::from_url(&format!("redis://{}", proxy.addr())).unwrap().with_request_timeout(Duration::from_secs(5))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
