//! Limits that an owner is held to.

use dlock_core::memory::Memory;
use dlock_core::{ErrorKind, Locks};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::world::{World, acquire, millis, seconds};

#[tokio::test(start_paused = true)]
async fn limits_of_zero_are_refused() {
    let without_time = Locks::builder(Memory::new()).max_hold_time(seconds(0)).connect().await;
    assert_eq!(without_time.unwrap_err().kind(), ErrorKind::InvalidInput);
    let without_guards = Locks::builder(Memory::new()).max_holds(0).connect().await;
    assert_eq!(without_guards.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn futures_that_waited_together_never_pass_the_limit() {
    const LIMIT: u32 = 3;
    let world = World::new();
    let first = acquire(&world.client(seconds(30)).await).await;
    let locks = world.builder(Memory::on(&world.store)).max_holds(LIMIT).connect().await.unwrap();
    let lock = locks.owner("one").lock("a").unwrap();
    let waiters = tokio::spawn(async move { join_all((0..8).map(|_| lock.acquire())).await });
    sleep(millis(10)).await;
    first.release().await.unwrap();
    let outcomes = timeout(seconds(60), waiters).await.expect("nobody waits for ever").unwrap();
    let (guards, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((guards.len(), refused.len()), (3, 5));
    for guard in &guards {
        assert_eq!(guard.as_ref().unwrap().hold_count(), LIMIT);
    }
    for error in refused {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ReentryLimit);
    }
    drop(guards);
    sleep(millis(10)).await;
    assert_eq!(world.store.count(), 0);
}
