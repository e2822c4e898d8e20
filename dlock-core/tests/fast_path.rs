//! Claims that callers take by themselves: when the keeper comes to know of them, and who cleans up.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use dlock_core::memory::{Memory, MemoryStore, Network};
use dlock_core::{Error, ErrorKind, Guard, Locks, Loss, Result};
use tokio::time::{Instant, sleep, timeout};

const BOUND: Duration = Duration::from_secs(30);

async fn client(store: &MemoryStore) -> Locks {
    connect(Memory::on(store), Duration::from_secs(3600)).await
}

async fn connect(memory: Memory, ttl: Duration) -> Locks {
    let builder = Locks::builder(memory.with_fast_path()).ttl(ttl);
    builder.connect().await.expect("connecting is local")
}

async fn acquire(locks: &Locks) -> Guard {
    locks.lock("a").expect("a name").acquire().await.expect("nobody else holds it for long")
}

/// A network on which each way takes a moment.
fn slow() -> Network {
    let way = Duration::from_millis(20);
    Network::perfect().delay(way..way + Duration::from_millis(1)).timeout(Duration::from_secs(5))
}

#[tokio::test]
async fn a_claim_that_is_held_on_is_renewed() {
    for ttl in [400, 3500] {
        let (store, ttl) = (MemoryStore::new(), Duration::from_millis(ttl));
        let locks = connect(Memory::on(&store), ttl).await;
        let guard = acquire(&locks).await;
        let token = guard.token().unwrap();
        sleep(ttl * 2).await;
        assert_eq!(guard.token().unwrap(), token);
        assert_eq!(locks.health().await.unwrap().held, 1);
        guard.release().await.unwrap();
        assert_eq!((store.count(), locks.health().await.unwrap().held), (0, 0));
    }
}

#[tokio::test]
async fn a_claim_broken_just_after_it_was_taken_is_lost_at_once() {
    let store = MemoryStore::new();
    let (locks, operator) = (client(&store).await, Locks::connect(Memory::on(&store)).await.unwrap());
    let guard = acquire(&locks).await;
    let claim = guard.lease().unwrap().claim;
    let state = operator.inspect("a").await.unwrap();
    let begun = Instant::now();
    operator.break_claim(&state.holders[0].claim).await.unwrap();
    assert_eq!(timeout(BOUND, guard.lost()).await.unwrap(), Loss::Gone);
    assert!(begun.elapsed() < Duration::from_secs(60), "an hour of validity was left");
    assert_eq!(claim, state.holders[0].claim.id);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn a_claim_broken_while_its_request_is_under_way_is_lost_soon() {
    let store = MemoryStore::new();
    let operator = Locks::connect(Memory::on(&store)).await.unwrap();
    let locks = connect(Memory::on(&store).over(slow()), Duration::from_secs(3600)).await;
    let broken = async {
        let holder = loop {
            if let Some(holder) = operator.inspect("a").await.unwrap().holders.pop() {
                break holder;
            }
            sleep(Duration::from_millis(1)).await;
        };
        operator.break_claim(&holder.claim).await.unwrap();
    };
    let (guard, ()) = tokio::join!(acquire(&locks), broken);
    assert_eq!(timeout(BOUND, guard.lost()).await.unwrap(), Loss::Gone);
}

#[tokio::test]
async fn closing_waits_for_an_attempt_and_leaves_nothing() {
    let store = MemoryStore::new();
    let locks = connect(Memory::on(&store).over(slow()), Duration::from_secs(3600)).await;
    let lock = locks.lock("a").unwrap();
    let (acquired, closed) = tokio::join!(lock.acquire(), locks.close());
    closed.unwrap();
    let refused: Result<Guard> = acquired;
    assert_eq!(refused.map(|_| ()).map_err(|error: Error| error.kind()), Err(ErrorKind::Closed));
    assert_eq!(store.count(), 0);
}

#[tokio::test]
async fn closing_tells_a_holder_and_waits_for_it() {
    let store = MemoryStore::new();
    let locks = client(&store).await;
    let guard = acquire(&locks).await;
    let closing = tokio::spawn(async move { locks.close().await });
    assert_eq!(timeout(BOUND, guard.lost()).await.unwrap(), Loss::Closed);
    assert_eq!(store.count(), 1, "a guard still counts on it");
    drop(guard);
    closing.await.unwrap().unwrap();
    assert_eq!(store.count(), 0);
}

#[tokio::test]
async fn an_attempt_that_is_never_polled_again_does_not_keep_a_client_open() {
    let store = MemoryStore::new();
    let network = slow().timeout(Duration::from_millis(100));
    let locks = connect(Memory::on(&store).over(network), Duration::from_millis(500)).await;
    let lock = locks.lock("a").unwrap();
    let mut forgotten = pin!(lock.acquire());
    assert!(poll_fn(|context| Poll::Ready(forgotten.as_mut().poll(context).is_pending())).await);
    timeout(BOUND, locks.close()).await.expect("it is closed when the claim has surely lapsed").unwrap();
    assert_eq!(forgotten.await.unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_keeper_that_stops_takes_the_leases_with_it() {
    let store = MemoryStore::new();
    let (mine, keepers) = (runtime(), runtime());
    let builder = Locks::builder(Memory::on(&store).with_fast_path()).keeper_on(keepers.handle().clone());
    let locks = mine.block_on(builder.connect()).unwrap();
    let guard = mine.block_on(acquire(&locks));
    assert!(guard.is_held());
    drop(keepers);
    assert_eq!(mine.block_on(guard.lost()), Loss::Keeper);
    assert_eq!(mine.block_on(locks.lock("b").unwrap().acquire()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_release_that_its_caller_drops_is_made_all_the_same() {
    let store = MemoryStore::new();
    let runtime = runtime();
    let locks = runtime.block_on(connect(Memory::on(&store).over(slow()), Duration::from_secs(3600)));
    for polls in 0..3 {
        let guard = runtime.block_on(acquire(&locks));
        runtime.block_on(async {
            let mut release = pin!(guard.release());
            for _ in 0..polls {
                let _ = poll_fn(|context| Poll::Ready(release.as_mut().poll(context).is_ready())).await;
            }
        });
        let begun = std::time::Instant::now();
        while store.count() > 0 {
            assert!(begun.elapsed() < BOUND, "the claim is left after {polls} polls");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[tokio::test]
async fn ten_thousand_at_once_are_served() {
    let store = MemoryStore::new();
    let locks = client(&store).await;
    let all = (0..10_000).map(|number| {
        let lock = locks.lock(format!("n{number}")).unwrap();
        async move { lock.acquire().await.unwrap().release().await.unwrap() }
    });
    timeout(BOUND * 4, futures::future::join_all(all)).await.unwrap();
    assert_eq!(store.count(), 0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads can be had")
}
