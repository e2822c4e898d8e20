//! A backend that panics: an error for whoever asked, never a stuck waiter or a dead keeper.

use dlock_core::{Error, ErrorKind, LeaseState};
use tokio::time::{sleep, timeout};

use crate::scripted::{Call, Fate, Scripted};
use crate::world::{World, acquire, millis, outcome, seconds, wait_in_line};

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_request_fails_the_acquire_and_nothing_else() {
    for fate in [|| Fate::Panic, || Fate::PanicAfterwards] {
        let world = World::new();
        let (locks, _) = world.scripted(seconds(30), at_first(Call::Request, fate)).await;
        let failed = outcome(wait_in_line(&locks).await).await.unwrap_err();
        assert_panicked(&failed);
        let guard = acquire(&locks).await;
        assert!(guard.is_held(), "what the panic may have left is withdrawn");
        guard.release().await.unwrap();
        assert_eq!(world.store.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_renewal_loses_no_lease() {
    for fate in [|| Fate::Panic, || Fate::PanicAfterwards] {
        let world = World::new();
        let (locks, calls) = world.scripted(seconds(6), at_first(Call::Renew, fate)).await;
        let guard = acquire(&locks).await;
        sleep(millis(2005)).await;
        assert_eq!((calls.count(Call::Renew), guard.state()), (1, LeaseState::Doubtful));
        sleep(seconds(20)).await;
        assert_eq!(guard.state(), LeaseState::Held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_withdrawal_is_reported_and_the_withdrawal_repeated() {
    for fate in [|| Fate::Panic, || Fate::PanicAfterwards] {
        let world = World::new();
        let (locks, calls) = world.scripted(seconds(3600), at_first(Call::Withdraw, fate)).await;
        let guard = acquire(&locks).await;
        let released = timeout(seconds(60), guard.release()).await.expect("a release ends");
        assert_panicked(&released.unwrap_err());
        let next = timeout(seconds(60), acquire(&locks)).await.expect("it is free long before its ttl");
        sleep(seconds(5)).await;
        assert_eq!(calls.count(Call::Withdraw), 2);
        assert!(next.is_held());
        next.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_downgrade_gives_the_lease_up() {
    let world = World::new();
    let (locks, _) = world.scripted(seconds(30), at_first(Call::Convert, || Fate::Panic)).await;
    let guard = acquire(&locks).await;
    let downgraded = timeout(seconds(60), guard.downgrade()).await.expect("a downgrade ends");
    assert_panicked(&downgraded.unwrap_err());
    assert!(!guard.is_held(), "nobody knows what the service did");
    assert!(acquire(&locks).await.is_held());
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_panic_for_a_lifeline_leaves_the_lease_alone() {
    let world = World::new();
    let (locks, _) = world.scripted(seconds(3), at_first(Call::Lifeline, || Fate::Panic)).await;
    let guard = acquire(&locks).await;
    assert_panicked(&guard.lifeline().await.unwrap_err());
    assert!(guard.lifeline().await.unwrap().is_none());
    sleep(seconds(10)).await;
    assert_eq!(guard.state(), LeaseState::Held);
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_in_the_events_renewals_find_the_grant() {
    let world = World::new();
    let first = acquire(&world.client(seconds(30)).await).await;
    let (locks, calls) = world.scripted(seconds(3), at_first(Call::NextEvent, || Fate::Panic)).await;
    let waiter = wait_in_line(&locks).await;
    first.release().await.unwrap();
    let guard = outcome(waiter).await.unwrap();
    assert_eq!(calls.count(Call::NextEvent), 1);
    sleep(seconds(10)).await;
    assert_eq!(guard.state(), LeaseState::Held);
    guard.release().await.unwrap();
    timeout(seconds(60), locks.close()).await.expect("it still can be closed").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_connecting_is_an_error() {
    let world = World::new();
    for call in [Call::Connect, Call::Events] {
        let backend = Scripted::on(&world.store, at_first(call, || Fate::Panic));
        let connecting = world.builder(backend).ttl(seconds(3)).connect();
        let connected = timeout(seconds(60), connecting).await.expect("connecting ends");
        assert_panicked(&connected.unwrap_err());
    }
}

/// The first call of this kind meets this fate.
fn at_first(struck: Call, fate: fn() -> Fate) -> impl Fn(Call, usize) -> Fate + Send + Sync + 'static {
    move |call, nth| if call == struck && nth == 1 { fate() } else { Fate::Pass }
}

fn assert_panicked(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("the script says so"), "{error}");
}
