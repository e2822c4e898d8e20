//! From the first request to a holder.

use dlock_core::memory::MemoryStore;
use dlock_core::{ErrorKind, Event, Gone, Grant, LeaseState, Requested, Token};
use tokio::time::{sleep, timeout};

use crate::scripted::{Call, Fate};
use crate::world::{World, acquire, lock, millis, outcome, seconds, wait_in_line};

/// What nobody holds any more.
const STALE: Grant = Grant { token: Token { epoch: 1, value: 1 }, predecessor: None };

#[tokio::test(start_paused = true)]
async fn a_grant_of_an_earlier_registration_is_not_taken_for_the_present_one() {
    let world = World::new();
    let first = acquire(&world.client(seconds(30)).await).await;
    // The request registers it, but nothing is heard of that for two seconds: it lapses meanwhile.
    let (clock, begun) = (world.clock.clone(), world.clock.now());
    let (unlucky, _) = world
        .scripted(seconds(1), move |call, nth| match call {
            Call::Request if nth == 1 => Fate::LoseReply,
            Call::Request if clock.now().since(begun) < seconds(2) => Fate::LoseRequest,
            _ => Fate::Pass,
        })
        .await;
    let lock = lock(&unlucky);
    let mut waiter = tokio::spawn(async move {
        let guard = lock.acquire().await.expect("it is repeated until it gets through");
        (guard.is_held(), guard)
    });
    sleep(millis(5)).await;
    let rival = wait_in_line(&world.client(seconds(30)).await).await;
    // The one that is being repeated is granted, and lapses; then the rival is.
    first.release().await.unwrap();
    let rival = outcome(rival).await.unwrap();
    if let Ok(ended) = timeout(seconds(10), &mut waiter).await {
        let (believed, guard) = ended.unwrap();
        panic!("the acquire returned {guard:?}, held at first: {believed}, beside {rival:?}");
    }
    rival.release().await.unwrap();
    let (believed, guard) = timeout(seconds(10), waiter).await.expect("it is its turn").unwrap();
    assert!(believed && guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_late_grant_of_an_earlier_registration_is_not_believed() {
    let world = World::new();
    let first = acquire(&world.client(seconds(30)).await).await;
    let (unlucky, _) = world
        .scripted(seconds(3), move |call, nth| match call {
            Call::Request if nth == 1 => Fate::LoseReply,
            Call::Request => Fate::PassAndPush(|claim| Event::Granted(claim, STALE)),
            _ => Fate::Pass,
        })
        .await;
    let mut waiter = wait_in_line(&unlucky).await;
    assert!(timeout(seconds(10), &mut waiter).await.is_err(), "the first one holds it");
    first.release().await.unwrap();
    let guard = outcome(waiter).await.unwrap();
    assert_ne!(guard.token().unwrap(), STALE.token);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_overtakes_the_answer_of_a_renewal_is_no_loss() {
    let world = World::new();
    let first = acquire(&world.client(seconds(30)).await).await;
    let (slow, calls) = world
        .scripted(seconds(3), |call, _| match call {
            Call::Renew => Fate::DelayReply(millis(100)),
            _ => Fate::Pass,
        })
        .await;
    let waiter = wait_in_line(&slow).await;
    sleep(millis(1045)).await;
    assert_eq!(calls.count(Call::Renew), 1, "its answer, still queued, is on its way");
    first.release().await.unwrap();
    let guard = outcome(waiter).await.unwrap();
    assert!(guard.is_held());
    sleep(millis(200)).await;
    assert_eq!(guard.state(), LeaseState::Held);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_does_not_hold_up_a_grant() {
    let world = World::new();
    let first = acquire(&world.client(seconds(300)).await).await;
    let (slow, _) = world
        .scripted(seconds(30), |call, nth| match call {
            Call::Renew if nth == 1 => Fate::DelayReply(seconds(12)),
            _ => Fate::Pass,
        })
        .await;
    let waiter = wait_in_line(&slow).await;
    // More than half of its life is over, so that it is renewed before it is handed over.
    sleep(seconds(16)).await;
    first.release().await.unwrap();
    let guard = timeout(seconds(4), outcome(waiter)).await.expect("another renewal is sent at once");
    assert!(guard.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn the_shortest_ttl_is_handed_over_although_every_answer_takes_a_while() {
    let world = World::new();
    // 50 ms of 100 are the margin: after any delay less than half of the ttl is left.
    let (locks, calls) = world
        .scripted(millis(100), |call, _| match call {
            Call::Request | Call::Renew => Fate::DelayReply(millis(5)),
            _ => Fate::Pass,
        })
        .await;
    let lock = lock(&locks);
    let tried = timeout(seconds(3), lock.try_acquire()).await;
    let tried = tried.unwrap_or_else(|_| panic!("renewed {} times, never handed over", calls.count(Call::Renew)));
    assert!(tried.unwrap().expect("nobody else wants it").is_held());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_claim_that_is_refused_is_a_defect_of_the_backend() {
    let world = World::new();
    let (locks, _) = world
        .scripted(seconds(30), |call, nth| match call {
            Call::Request if nth == 1 => Fate::TwistRequested(|_| Requested::Refused),
            _ => Fate::Pass,
        })
        .await;
    let refused = outcome(wait_in_line(&locks).await).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Internal);
    until_empty(&world.store).await;
    assert!(acquire(&locks).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_queued_is_a_defect_of_the_backend() {
    let world = World::new();
    let (locks, _) = world
        .scripted(seconds(30), |call, nth| match call {
            Call::Request if nth == 1 => Fate::TwistRequested(|answer| match answer {
                Requested::Held(_, life) => Requested::Queued(life),
                other => other,
            }),
            _ => Fate::Pass,
        })
        .await;
    let tried = timeout(seconds(60), lock(&locks).try_acquire()).await.expect("a try ends");
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::Internal);
    until_empty(&world.store).await;
    assert!(acquire(&locks).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_lost_again_and_again_is_asked_for_with_pauses() {
    let world = World::new();
    let first = acquire(&world.client(seconds(300)).await).await;
    let (clock, begun) = (world.clock.clone(), world.clock.now());
    let (unlucky, calls) = world
        .scripted(seconds(30), move |call, _| match call {
            Call::Request if clock.now().since(begun) < seconds(60) => {
                Fate::PassAndPush(|claim| Event::Gone(claim, Gone::Absent))
            }
            _ => Fate::Pass,
        })
        .await;
    let waiter = wait_in_line(&unlucky).await;
    sleep(seconds(60)).await;
    let requests = calls.count(Call::Request);
    assert!((20..300).contains(&requests), "{requests} requests in a minute");
    sleep(seconds(10)).await;
    first.release().await.unwrap();
    assert!(outcome(waiter).await.unwrap().is_held());
}

async fn until_empty(store: &MemoryStore) {
    let emptied = timeout(seconds(60), async {
        while store.count() > 0 {
            sleep(millis(10)).await;
        }
    });
    emptied.await.expect("nothing stays of a claim that failed");
}
