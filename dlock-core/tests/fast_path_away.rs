//! Callers on the fast path that stop in the middle, and what the keeper makes of what they began.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use dlock_core::memory::{Memory, MemoryStore, Network};
use dlock_core::{Clock, ErrorKind, Guard, Locks, Loss, Result};
use futures::task::noop_waker_ref;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

const HOUR: Duration = Duration::from_secs(3600);
/// Far less than the ttl, and more than anything takes that does not wait for it.
const BOUND: Duration = Duration::from_secs(60);
const WAY: Duration = Duration::from_millis(20);

/// A client on the test's own runtime, whose time is paused.
async fn client(memory: Memory, max_hold_time: Option<Duration>) -> Locks {
    let builder = Locks::builder(memory.with_fast_path()).ttl(HOUR).clock(Clock::tokio()).keeper_on(Handle::current());
    let builder = max_hold_time.into_iter().fold(builder, |builder, time| builder.max_hold_time(time));
    builder.connect().await.expect("connecting is local")
}

/// A network on which each way takes a moment.
fn slow() -> Network {
    Network::perfect().delay(WAY..WAY).timeout(Duration::from_secs(5))
}

/// Polls once, and does not ask to be woken.
fn touch<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(noop_waker_ref()))
}

/// Polls an acquire just as far as its claim is registered, and is not answered yet.
async fn register<F: Future<Output = Result<Guard>>>(mut acquire: Pin<&mut F>, store: &MemoryStore) {
    assert!(touch(acquire.as_mut()).is_pending());
    sleep(WAY + WAY / 4).await;
    assert!(touch(acquire).is_pending());
    assert_eq!(store.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_happened_to_an_attempt_is_known_to_who_takes_it_over() {
    let store = MemoryStore::new();
    let operator = client(Memory::on(&store), None).await;
    let locks = client(Memory::on(&store).over(slow()), None).await;
    let owner = locks.owner("o");
    let lock = owner.lock("a").unwrap();
    let (mut first, mut second) = (Box::pin(lock.acquire()), Box::pin(lock.acquire()));
    register(first.as_mut(), &store).await;
    assert!(touch(second.as_mut()).is_pending());
    let holder = operator.inspect("a").await.unwrap().holders.remove(0);
    operator.break_claim(&holder.claim).await.unwrap();
    sleep(WAY * 5).await;
    drop(first);
    let guard = timeout(BOUND, second).await.unwrap().unwrap();
    assert_eq!(timeout(BOUND, guard.lost()).await.expect("it is told at once"), Loss::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_this_client_breaks_is_lost_though_no_event_comes() {
    let store = MemoryStore::new();
    let locks = client(Memory::on(&store).over(slow().lose_events(1.0)), None).await;
    let lock = locks.lock("a").unwrap();
    let mut acquire = Box::pin(lock.acquire());
    register(acquire.as_mut(), &store).await;
    let holder = locks.inspect("a").await.unwrap().holders.remove(0);
    locks.break_claim(&holder.claim).await.unwrap();
    let guard = acquire.await.unwrap();
    assert_eq!(timeout(BOUND, guard.lost()).await.expect("it is told at once"), Loss::Gone);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_polled_does_not_keep_others_of_its_owner_waiting() {
    let store = MemoryStore::new();
    let locks = client(Memory::on(&store).over(slow()), None).await;
    let lock = locks.owner("o").lock("a").unwrap();
    let (mut first, second) = (Box::pin(lock.acquire()), lock.acquire());
    assert!(touch(first.as_mut()).is_pending());
    let guard = timeout(BOUND, second).await.expect("the keeper sees it through").unwrap();
    guard.release().await.unwrap();
    let guard = timeout(BOUND, first).await.unwrap().unwrap();
    guard.release().await.unwrap();
    assert_eq!(store.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_one_that_is_not_polled() {
    let store = MemoryStore::new();
    let locks = client(Memory::on(&store).over(slow()), None).await;
    let lock = locks.owner("o").lock("a").unwrap();
    let (mut first, mut second) = (pin!(lock.acquire()), pin!(lock.acquire()));
    assert!(touch(first.as_mut()).is_pending());
    assert!(touch(second.as_mut()).is_pending());
    let closing = Instant::now();
    timeout(BOUND, locks.close()).await.expect("it does not wait for the ttl").unwrap();
    assert!(closing.elapsed() < WAY * 10);
    assert_eq!(store.count(), 0);
    for left in [second, first] {
        assert_eq!(timeout(BOUND, left).await.expect("it is told").unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_sees_a_release_through_that_is_not_polled() {
    for polls in 0..3 {
        let store = MemoryStore::new();
        let locks = client(Memory::on(&store).over(slow()), None).await;
        let guard = locks.lock("a").unwrap().acquire().await.unwrap();
        let mut release = Box::pin(guard.release());
        for _ in 0..polls {
            assert!(touch(release.as_mut()).is_pending());
            sleep(WAY / 4).await;
        }
        if polls == 0 {
            drop(release);
            locks.close().await.unwrap();
        } else {
            timeout(BOUND, locks.close()).await.unwrap().unwrap();
            assert_eq!(store.count(), 0, "after {polls} polls");
            timeout(BOUND, release).await.unwrap().unwrap();
        }
        assert_eq!(store.count(), 0, "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn the_maximum_hold_time_counts_from_the_grant() {
    let most = Duration::from_millis(100);
    let locks = client(Memory::new(), Some(most)).await;
    for _ in 0..5 {
        let guard = locks.lock("a").unwrap().acquire().await.unwrap();
        let begun = Instant::now();
        assert_eq!(guard.lost().await, Loss::MaxHold);
        assert!(begun.elapsed() <= most + Duration::from_millis(5), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_loses_patience_is_told_that_the_service_did_not_answer() {
    let network = Network::perfect().timeout(Duration::from_millis(200));
    let link = network.link();
    let locks = client(Memory::new().over(network), None).await;
    link.cut();
    let waited = locks.lock("a").unwrap().acquire_within(Duration::from_millis(300)).await;
    assert_eq!(waited.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
}
