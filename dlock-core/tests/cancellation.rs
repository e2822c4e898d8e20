//! Acquires that nobody waits for to the end, and guards that outlive their runtime: on a memory
//! store behind a network that delays, loses and repeats.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use dlock_core::memory::{Memory, MemoryStore, Network};
use dlock_core::{Guard, Lock, Locks};
use futures::future::poll_immediate;

/// No claim that is left alone lives longer.
const TTL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(40);

#[tokio::test]
async fn dropped_at_every_point_when_granted_at_once() {
    drop_at_every_point(Network::perfect(), false).await;
}

#[tokio::test]
async fn dropped_at_every_point_when_queued_and_then_granted() {
    drop_at_every_point(Network::perfect(), true).await;
}

#[tokio::test]
async fn dropped_at_every_point_on_a_slow_network() {
    let network = || Network::seeded(1).delay(Duration::from_millis(2)..Duration::from_millis(6)).timeout(TIMEOUT);
    drop_at_every_point(network(), false).await;
    drop_at_every_point(network(), true).await;
}

#[tokio::test]
async fn dropped_at_every_point_when_replies_get_lost() {
    for seed in 0..4 {
        let network = || Network::seeded(seed).lose_replies(0.5).timeout(TIMEOUT);
        drop_at_every_point(network(), false).await;
        drop_at_every_point(network(), true).await;
    }
}

#[tokio::test]
async fn dropped_at_every_point_when_requests_get_lost() {
    for seed in 0..4 {
        drop_at_every_point(Network::seeded(seed).lose_requests(0.5).timeout(TIMEOUT), seed % 2 == 0).await;
    }
}

#[tokio::test]
async fn dropped_at_every_point_when_requests_come_late() {
    for seed in 0..4 {
        let network = || Network::seeded(seed).delay_past_timeout(0.5).timeout(TIMEOUT);
        drop_at_every_point(network(), false).await;
        drop_at_every_point(network(), true).await;
    }
}

#[tokio::test]
async fn dropped_at_every_point_when_requests_come_twice() {
    for seed in 0..4 {
        drop_at_every_point(Network::seeded(seed).duplicate_requests(1.0).timeout(TIMEOUT), seed % 2 == 0).await;
    }
}

#[test]
fn a_runtime_that_shuts_down_with_200_guards_leaves_none() {
    let store = MemoryStore::new();
    for memory in ways(&store) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let locks = runtime.block_on(client(memory));
        for i in 0..200 {
            let guard = runtime.block_on(locks.lock(format!("n{i}")).unwrap().acquire()).unwrap();
            runtime.spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
        }
        assert_eq!(store.count(), 200);
        drop(runtime);
        until_empty_by_itself(&store, &locks);
    }
}

#[test]
fn a_guard_dropped_outside_any_runtime_is_released() {
    let store = MemoryStore::new();
    for memory in ways(&store) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let locks = runtime.block_on(client(memory));
        let here = runtime.block_on(locks.lock("here").unwrap().acquire()).unwrap();
        let there = runtime.block_on(locks.lock("there").unwrap().acquire()).unwrap();
        drop(runtime);
        drop(here);
        std::thread::spawn(move || drop(there)).join().unwrap();
        until_empty_by_itself(&store, &locks);
    }
}

#[test]
fn a_guard_dropped_in_a_panic_is_released() {
    let store = MemoryStore::new();
    for memory in ways(&store) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let locks = runtime.block_on(client(memory));
        let acquire = |name: &str| runtime.block_on(locks.lock(name).unwrap().acquire()).unwrap();
        let (in_thread, in_task) = (acquire("thread"), acquire("task"));
        assert!(std::thread::spawn(move || panic_with(in_thread)).join().is_err());
        assert!(runtime.block_on(runtime.spawn(async move { panic_with(in_task) })).unwrap_err().is_panic());
        until_empty_by_itself(&store, &locks);
    }
}

fn panic_with(guard: Guard) {
    let _guard = guard;
    std::panic::resume_unwind(Box::new("in the critical section"));
}

/// A client by way of the keeper, and one whose callers may go by themselves.
fn ways(store: &MemoryStore) -> [Memory; 2] {
    [Memory::on(store), Memory::on(store).with_fast_path()]
}

async fn client(memory: Memory) -> Locks {
    // What is left to lapse would be left for an hour.
    let patient = Duration::from_secs(3600);
    Locks::builder(memory).ttl(patient).connect().await.expect("connecting is local")
}

async fn drop_at_every_point(network: Network, contended: bool) {
    let store = MemoryStore::new();
    for memory in ways(&store) {
        drop_at_every_point_of(memory.over(network.clone()), &store, contended).await;
    }
}

/// Polls an acquire so many times and drops it: never, once, twice and so on, until one is done
/// before. With `contended`, somebody else holds the name first.
async fn drop_at_every_point_of(memory: Memory, store: &MemoryStore, contended: bool) {
    let locks = Locks::builder(memory).ttl(TTL).connect().await.expect("connecting is local");
    let lock = locks.lock("a").expect("the name is valid");
    let rival =
        Locks::connect(Memory::on(store)).await.expect("connecting is local").lock("a").expect("the name is valid");
    let limit = tokio::time::timeout(Duration::from_secs(60), async {
        for polls in 0.. {
            if !drop_after(polls, &lock, contended.then_some(&rival)).await {
                return;
            }
            settled(store).await;
        }
    });
    limit.await.expect("an acquire is done after some polls");
    settled(store).await;
    locks.close().await.expect("a client can be closed");
    assert_eq!(store.count(), 0);
}

/// Answers whether the acquire was dropped before it was done.
async fn drop_after(polls: usize, lock: &Lock, rival: Option<&Lock>) -> bool {
    let mut holder = match rival {
        Some(rival) => Some(rival.acquire().await.expect("its network is perfect")),
        None => None,
    };
    let mut acquire = Box::pin(lock.acquire());
    for poll in 1..=polls {
        // It stands in line by now; with three polls or more it gets its turn.
        if poll == 2 && polls > 2 {
            drop(holder.take());
        }
        let done = if poll < polls { poll_and_rest(&mut acquire).await } else { poll_immediate(&mut acquire).await };
        if let Some(guard) = done {
            drop(guard.expect("it is tried long enough"));
            return false;
        }
    }
    true
}

/// Polls once, and waits until another poll could get further, or for a moment: news that came
/// during the poll wakes nobody.
async fn poll_and_rest<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut polled = false;
    let poll_once = poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(None);
        }
        Pin::new(&mut *future).poll(context).map(Some)
    });
    tokio::time::timeout(TIMEOUT / 2, poll_once).await.unwrap_or_default()
}

/// Waits until nothing is left, and long enough for what is still under way to arrive and be gone.
async fn settled(store: &MemoryStore) {
    let begun = Instant::now();
    let last_arrival = TIMEOUT * 3;
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if store.count() == 0 && begun.elapsed() > last_arrival {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{} claims are left", store.count());
    }
}

/// Waits for the keeper's thread alone: no runtime is driven.
fn until_empty_by_itself(store: &MemoryStore, locks: &Locks) {
    let begun = Instant::now();
    while store.count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} claims are left", store.count());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(futures::executor::block_on(locks.health()).expect("the client is open").held, 0);
}
