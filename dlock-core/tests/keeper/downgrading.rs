//! From exclusive to shared: never exclusive beside a reader.

use std::sync::Arc;

use dlock_core::{ErrorKind, Guard, LeaseState, Locks, Loss, Mode, Namespace};
use futures::poll;
use tokio::time::{sleep, timeout};

use crate::scripted::{Call, Fate};
use crate::world::{World, acquire, millis, seconds};

#[tokio::test(start_paused = true)]
async fn nobody_enters_as_exclusive_while_a_downgrade_is_under_way() {
    let world = World::new();
    let (locks, _) = world.scripted(seconds(3), slow_converts).await;
    let other = world.client(seconds(3)).await;
    let lock = locks.owner("writer").lock("a").unwrap();
    let guard = Arc::new(lock.acquire().await.unwrap());
    let downgraded = guard.clone();
    let downgrade = tokio::spawn(async move { downgraded.downgrade().await });
    sleep(millis(10)).await;
    let again = lock.acquire().await;
    assert!(try_read(&other).await.is_some(), "the store has done it, only the answer is late");
    assert_eq!(again.unwrap_err().kind(), ErrorKind::OtherMode);
    downgrade.await.unwrap().unwrap();
    assert_eq!((guard.mode(), guard.state()), (Mode::Shared, LeaseState::Held));
}

#[tokio::test(start_paused = true)]
async fn a_downgrade_that_finds_nothing_ends_the_lease() {
    let world = World::new();
    let guard = acquire(&world.client(seconds(30)).await).await;
    world.store.delete(&Namespace::default(), guard.name());
    assert_eq!(guard.downgrade().await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(guard.state(), LeaseState::Lost(Loss::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_downgrade_that_is_refused_leaves_it_exclusive() {
    let world = World::new();
    let (locks, _) = world
        .scripted(seconds(3), |call, nth| match call {
            Call::Convert if nth == 1 => Fate::Fail(ErrorKind::Denied),
            _ => Fate::Pass,
        })
        .await;
    let guard = acquire(&locks).await;
    assert_eq!(guard.downgrade().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!((guard.mode(), guard.state()), (Mode::Exclusive, LeaseState::Held));
    assert!(try_read(&world.client(seconds(3)).await).await.is_none());
    guard.downgrade().await.unwrap();
    assert_eq!(guard.mode(), Mode::Shared);
}

#[tokio::test(start_paused = true)]
async fn a_downgrade_that_was_dropped_and_is_called_again_leaves_no_false_belief() {
    let world = World::new();
    let (locks, _) = world.scripted(seconds(3), slow_converts).await;
    let guard = acquire(&locks).await;
    assert!(timeout(millis(10), guard.downgrade()).await.is_err(), "its answer is late");
    let again = guard.downgrade().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::OtherMode, "it is shared already: {again}");
    sleep(millis(200)).await;
    assert_eq!((guard.mode(), guard.state()), (Mode::Shared, LeaseState::Held));
}

#[tokio::test(start_paused = true)]
async fn what_another_future_of_the_owner_waits_for_is_not_downgraded() {
    let world = World::new();
    let (locks, other) = (world.client(seconds(3)).await, world.client(seconds(3)).await);
    let lock = locks.owner("writer").lock("a").unwrap();
    let (mut first, mut second) = (Box::pin(lock.acquire()), Box::pin(lock.acquire()));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending(), "it joins, and is not polled for a while");
    let first = first.await.unwrap();
    assert_eq!(first.downgrade().await.unwrap_err().kind(), ErrorKind::OtherMode);
    assert!(try_read(&other).await.is_none());
    let second = second.await.unwrap();
    assert_eq!((second.mode(), second.hold_count()), (Mode::Exclusive, 2));
    drop(second);
    first.downgrade().await.unwrap();
    assert!(try_read(&other).await.is_some());
}

fn slow_converts(call: Call, _: usize) -> Fate {
    match call {
        Call::Convert => Fate::DelayReply(millis(100)),
        _ => Fate::Pass,
    }
}

async fn try_read(locks: &Locks) -> Option<Guard> {
    let lock = locks.rw_lock("a").expect("memory has readers");
    lock.read().try_acquire().await.expect("it meets no fault")
}
