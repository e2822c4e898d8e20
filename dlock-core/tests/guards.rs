//! What a user of the API sees, on the memory backend.

use std::time::Duration;

use dlock_core::memory::{Memory, MemoryStore, Network};
use dlock_core::{ErrorKind, LeaseState, Locks, Loss};

async fn client(store: &MemoryStore) -> Locks {
    Locks::connect(Memory::on(store)).await.expect("a memory store always answers")
}

#[tokio::test]
async fn a_lock_is_held_by_one_and_handed_on() {
    let store = MemoryStore::new();
    let (one, two) = (client(&store).await, client(&store).await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let first = guard.token().unwrap();
    assert!(two.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    let waiter = tokio::spawn(async move { two.lock("a").unwrap().acquire().await });
    while one.inspect("a").await.unwrap().waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    guard.release().await.unwrap();
    let second = waiter.await.unwrap().unwrap();
    assert!(second.token().unwrap() > first);
    second.release().await.unwrap();
    assert_eq!(store.count(), 0);
}

#[tokio::test]
async fn dropping_the_last_handle_leaves_nothing() {
    let store = MemoryStore::new();
    let locks = client(&store).await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    drop(locks);
    assert!(guard.is_held());
    drop(guard);
    assert_eq!(store.count(), 0);
}

#[tokio::test]
async fn a_cut_longer_than_the_ttl_loses_the_lease_before_the_server_regrants() {
    let store = MemoryStore::new();
    let network = Network::perfect().timeout(Duration::from_millis(20));
    let link = network.link();
    let cut_off =
        Locks::builder(Memory::on(&store).over(network)).ttl(Duration::from_millis(300)).connect().await.unwrap();
    let rival = client(&store).await;
    let guard = cut_off.lock("a").unwrap().acquire().await.unwrap();
    link.cut();
    let lost = async {
        assert_eq!(guard.lost().await, Loss::Deadline);
        assert!(rival.inspect("a").await.unwrap().holders.len() == 1, "lost before the server let go");
    };
    let (_, successor) = tokio::join!(lost, async { rival.lock("a").unwrap().acquire().await.unwrap() });
    assert!(!guard.is_held() && successor.is_held());
    link.heal();
    assert_eq!(guard.state(), LeaseState::Lost(Loss::Deadline));
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(successor.is_held());
}

#[tokio::test]
async fn a_closed_client_says_so_and_waits_for_its_guards() {
    let store = MemoryStore::new();
    let locks = client(&store).await;
    let lock = locks.lock("a").unwrap();
    let guard = lock.acquire().await.unwrap();
    let closing = tokio::spawn({
        let locks = locks.clone();
        async move { locks.close().await }
    });
    assert_eq!(guard.lost().await, Loss::Closed);
    assert_eq!(store.count(), 1, "a guard still counts on it");
    drop(guard);
    closing.await.unwrap().unwrap();
    assert_eq!(store.count(), 0);
    assert_eq!(lock.acquire().await.unwrap_err().kind(), ErrorKind::Closed);
    locks.close().await.unwrap();
}

#[tokio::test]
async fn the_maximum_hold_time_ends_a_forgotten_guard() {
    let store = MemoryStore::new();
    let locks = Locks::builder(Memory::on(&store))
        .ttl(Duration::from_millis(200))
        .max_hold_time(Duration::from_millis(100))
        .connect()
        .await
        .unwrap();
    std::mem::forget(locks.lock("a").unwrap().acquire().await.unwrap());
    let next = locks.lock("a").unwrap().acquire().await.unwrap();
    assert_eq!(next.lost().await, Loss::MaxHold);
}

#[tokio::test]
async fn run_stops_the_future_at_the_loss() {
    let store = MemoryStore::new();
    let locks = client(&store).await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    assert_eq!(guard.run(async { 7 }).await.unwrap(), 7);
    let holder = locks.inspect("a").await.unwrap().holders.remove(0);
    let (stopped, broken) = tokio::join!(guard.run(std::future::pending::<()>()), locks.break_claim(&holder.claim));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Lost);
    broken.unwrap();
    assert_eq!(guard.token().unwrap_err().kind(), ErrorKind::Lost);
}

#[test]
fn a_guard_is_released_wherever_it_is_dropped() {
    let store = MemoryStore::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let locks = runtime.block_on(client(&store));
    let guards: Vec<_> =
        (0..200).map(|i| runtime.block_on(locks.lock(format!("n{i}")).unwrap().acquire()).unwrap()).collect();
    assert_eq!(store.count(), 200);
    let panicked = std::thread::spawn(move || {
        let _guards = guards;
        panic!("in the critical section");
    });
    assert!(panicked.join().is_err());
    let guard = runtime.block_on(locks.lock("task").unwrap().acquire()).unwrap();
    runtime.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    drop(runtime);
    drop(locks);
    assert_eq!(store.count(), 0);
}

#[test]
fn no_runtime_is_needed() {
    let store = MemoryStore::new();
    futures::executor::block_on(async {
        let locks = client(&store).await;
        let guard = locks.lock("a").unwrap().acquire().await.unwrap();
        assert!(locks.lock("a").unwrap().acquire_within(Duration::from_millis(30)).await.unwrap().is_none());
        guard.release().await.unwrap();
        locks.close().await.unwrap();
    });
    assert_eq!(store.count(), 0);
}
