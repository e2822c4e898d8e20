//! Acquires dropped at random, on memory stores behind networks that lose and repeat.

use std::time::{Duration, Instant};

use dlock_core::Locks;
use dlock_core::memory::{Memory, MemoryStore, Network};
use dlock_testkit::cancellation::{Dropped, drop_at_random, rounds};

const TTL: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_2000_acquires_when_requests_and_replies_get_lost() {
    leaves_nothing(1, |seed| Network::seeded(seed).lose_requests(0.05).lose_replies(0.1).timeout(TIMEOUT)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_2000_acquires_when_requests_come_late_or_twice() {
    leaves_nothing(2, |seed| {
        let slow = Network::seeded(seed).delay(Duration::ZERO..Duration::from_millis(2)).timeout(TIMEOUT);
        slow.lose_replies(0.05).delay_past_timeout(0.1).duplicate_requests(0.2).lose_events(0.2)
    })
    .await;
}

async fn leaves_nothing(seed: u64, network: impl Fn(u64) -> Network) {
    let (store, times) = (MemoryStore::new(), rounds(2000));
    let mut clients = Vec::new();
    for i in 0..3 {
        let connector = Memory::on(&store).over(network(seed * 10 + i));
        clients.push(Locks::builder(connector).ttl(TTL).connect().await.expect("connecting is local"));
    }
    let Dropped { in_flight, granted, refused, failed } = drop_at_random(&clients, seed, times).await;
    println!("{in_flight} dropped in flight, {granted} granted, {refused} refused, {failed} failed");
    assert_eq!(in_flight + granted + refused + failed, times);
    assert!(in_flight > times / 4 && granted > 0, "{in_flight} in flight, {granted} granted of {times}");

    // Requests that are still under way may arrive late, and their claims lapse.
    let begun = Instant::now();
    loop {
        tokio::time::sleep(TIMEOUT).await;
        let left = store.count();
        if left == 0 && begun.elapsed() > TIMEOUT * 4 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{left} claims are left");
    }
    for locks in clients {
        let health = locks.health().await.expect("the client is open");
        assert_eq!((health.held, health.waiting), (0, 0), "{health:?}");
        locks.close().await.expect("a client can be closed");
    }
    assert_eq!(store.count(), 0);
}
