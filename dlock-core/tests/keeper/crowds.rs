//! Very many requests at once.

use dlock_core::{ErrorKind, Guard, Locks, Result};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

use crate::scripted::{Call, Fate};
use crate::world::{World, acquire, millis, seconds};

const CROWD: usize = 1000;

#[tokio::test(start_paused = true)]
async fn a_crowd_is_served_some_at_a_time() {
    let world = World::new();
    let (locks, calls) = world.scripted(seconds(30), |_, _| Fate::Pass).await;
    let mut crowd = acquire_others(&locks);
    for _ in 0..10 * CROWD {
        yield_now().await;
    }
    let sent = calls.count(Call::Request);
    assert!((1..CROWD / 10).contains(&sent), "{sent} requests are under way at once");
    let mut guards = Vec::new();
    while let Some(served) = crowd.join_next().await {
        guards.push(served.unwrap().unwrap());
    }
    assert_eq!((guards.len(), world.store.count()), (CROWD, CROWD));
    drop(guards);
    locks.close().await.unwrap();
    assert_eq!((calls.count(Call::Request), calls.count(Call::Withdraw), world.store.count()), (CROWD, CROWD, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_waits_for_a_service_that_is_slow() {
    let world = World::new();
    let slow = |call, _| if call == Call::Request { Fate::DelayReply(seconds(5)) } else { Fate::Pass };
    let (locks, _) = world.scripted(seconds(30), slow).await;
    let begun = Instant::now();
    let mut crowd = acquire_others(&locks);
    while let Some(served) = crowd.join_next().await {
        drop(served.unwrap().unwrap());
    }
    assert!(begun.elapsed() > seconds(30), "that is far longer than an unanswered request is repeated");
}

#[tokio::test(start_paused = true)]
async fn a_release_does_not_wait_for_a_crowd_that_acquires() {
    let world = World::new();
    let slow = |call, nth| if call == Call::Request && nth > 1 { Fate::DelayReply(seconds(5)) } else { Fate::Pass };
    let (locks, _) = world.scripted(seconds(30), slow).await;
    let guard = acquire(&locks).await;
    let _crowd = acquire_others(&locks);
    sleep(millis(100)).await;
    let begun = Instant::now();
    guard.release().await.unwrap();
    assert!(begun.elapsed() < millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_hears_in_time_that_nobody_answers_and_leaves_nothing() {
    let world = World::new();
    let (locks, _) = world
        .scripted(seconds(30), |call, _| match call {
            Call::Request => Fate::LoseRequestAfter(seconds(5)),
            _ => Fate::Pass,
        })
        .await;
    let begun = Instant::now();
    let mut crowd = acquire_others(&locks);
    while let Some(outcome) = crowd.join_next().await {
        assert_eq!(outcome.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(begun.elapsed() < seconds(20), "the last one heard after {:?}", begun.elapsed());
    locks.close().await.unwrap();
    assert_eq!(world.store.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_crowd_is_not_requested() {
    let world = World::new();
    let (locks, calls) = world.scripted(seconds(30), |_, _| Fate::Pass).await;
    let mut crowd = acquire_others(&locks);
    for _ in 0..10 * CROWD {
        yield_now().await;
    }
    crowd.shutdown().await;
    sleep(seconds(1)).await;
    assert!(calls.count(Call::Request) < CROWD / 10);
    assert_eq!(world.store.count(), 0);
}

/// Begins to acquire names of which each is free.
fn acquire_others(locks: &Locks) -> JoinSet<Result<Guard>> {
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let lock = locks.lock(format!("crowd/{number}")).expect("the name is valid");
        crowd.spawn(async move { lock.acquire().await });
    }
    crowd
}
