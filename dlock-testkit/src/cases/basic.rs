//! Acquire, release, try, and bounded waits.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::Clock;

use crate::broken::admission::{RefusalSticks, TryQueues};
use crate::broken::collision::{a_key_for_each_process, one_key_for_all};
use crate::broken::release::{ReleaseByName, ReleaseLeftToLapse};
use crate::broken::waiting::{GrantIsNeverTold, RequestWaitsForItsGrant, WaitIsCutByTheRequestTimeout};
use crate::cases::by_hand::{ByHand, lasting_claim};
use crate::{Case, Lab, Need};

const GROUP: &str = "basic";

pub(super) const CASES: &[Case] = &[
    case!([1] a_released_lock_can_be_acquired_again_at_once, needs [], trips on ReleaseLeftToLapse),
    case!([2] distinct_names_never_contend, needs [], trips on one_key_for_all()),
    case!([3] try_on_a_held_lock_answers_at_once_without_queueing, needs [], trips on TryQueues),
    case!([4] a_timed_acquire_gives_up_and_leaves_the_line, needs [], trips on RequestWaitsForItsGrant),
    case!([5] a_timed_acquire_is_granted_when_the_holder_releases, needs [], trips on GrantIsNeverTold::default()),
    case!([6] a_zero_timeout_is_a_try, needs [], trips on TryQueues),
    case!([7] a_wait_outlasts_the_request_timeout, needs [], trips on WaitIsCutByTheRequestTimeout),
    case!([8] a_second_release_never_frees_the_successor, needs [], trips on ReleaseByName),
    case!([9] exclusion_holds_between_processes, needs [Need::Processes], trips on a_key_for_each_process()),
    case!([10] a_lock_works_after_a_failed_try, needs [], trips on RefusalSticks::default()),
];

async fn a_released_lock_can_be_acquired_again_at_once(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let lock = one.lock("a").unwrap();
    for _ in 0..3 {
        let guard = lock.try_acquire().await.unwrap().expect("the name is free");
        assert!(guard.is_held());
        guard.release().await.unwrap();
        let guard = two.lock("a").unwrap().try_acquire().await.unwrap().expect("the name is free for anybody");
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn distinct_names_never_contend(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let mut guards = Vec::new();
    for (locks, name) in [(&one, "a"), (&two, "b"), (&one, "c"), (&two, "d")] {
        let guard = locks.lock(name).unwrap().try_acquire().await.unwrap();
        guards.push(guard.unwrap_or_else(|| panic!("nobody holds {name}")));
    }
    guards.remove(1).release().await.unwrap();
    assert!(guards.iter().all(|guard| guard.is_held()), "the release of one name touches no other");
    for name in ["a", "c", "d"] {
        assert!(two.lock(name).unwrap().try_acquire().await.unwrap().is_none(), "{name} is still held");
    }
    drop(guards);
    lab.until_empty().await;
}

async fn try_on_a_held_lock_answers_at_once_without_queueing(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    assert!(two.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    let state = one.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (1, 0));
    guard.release().await.unwrap();
    assert_eq!(lab.claims().await, 0);
}

async fn a_timed_acquire_gives_up_and_leaves_the_line(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let (clock, time) = (Clock::system(), lab.ttl() / 2);
    let begun = clock.now();
    let waiting = two.lock("a").unwrap();
    let answer = lab.soon("the time is up", waiting.acquire_within(time)).await.unwrap();
    assert!(answer.is_none(), "the name is held by another");
    assert!(clock.now().since(begun) >= time, "it gave up too early");
    lab.until_waiting(&one, "a", 0).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
    assert_eq!(lab.claims().await, 0);
}

async fn a_timed_acquire_is_granted_when_the_holder_releases(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let patience = lab.patience();
    let waiting = tokio::spawn(async move { two.lock("a").unwrap().acquire_within(patience).await });
    lab.until_waiting(&one, "a", 1).await;
    guard.release().await.unwrap();
    let next = waiting.await.unwrap().unwrap().expect("the holder released long before the time was up");
    assert!(next.is_held());
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_zero_timeout_is_a_try(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire_within(Duration::ZERO).await.unwrap().expect("nobody holds it");
    assert!(two.lock("a").unwrap().acquire_within(Duration::ZERO).await.unwrap().is_none());
    let state = one.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (1, 0), "nothing was queued");
    guard.release().await.unwrap();
    assert_eq!(lab.claims().await, 0);
}

async fn a_wait_outlasts_the_request_timeout(lab: Arc<Lab>) {
    let one = lab.lasting_client().await;
    let limit = lab.info().request_timeout;
    let two = lab.client_with(|builder| builder.retry_for(limit)).await;
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&one, &two.lock("a").unwrap()).await;
    // Nothing but time tells a long wait from a short one.
    tokio::time::sleep(limit + lab.ttl()).await;
    assert!(!waiting.is_finished(), "the name is still held by another: {:?}", waiting.await);
    guard.release().await.unwrap();
    let next = lab.soon("the waiter is granted", waiting).await.unwrap().unwrap();
    assert!(next.is_held());
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_second_release_never_frees_the_successor(lab: Arc<Lab>) {
    let (one, two) = (ByHand::client(&lab).await, ByHand::client(&lab).await);
    let (first, second) = (lasting_claim(&lab, "a"), lasting_claim(&lab, "a"));
    one.hold(&first).await;
    one.release(&first).await;
    two.hold(&second).await;
    one.release_again(&first).await;
    assert_eq!(one.holder("a").await, Some(second.id), "a second release of the first claim touched the second");
    two.keep(&second).await;
    two.release(&second).await;
    lab.until_empty().await;
    one.close().await;
    two.close().await;
}

async fn exclusion_holds_between_processes(lab: Arc<Lab>) {
    let here = lab.lasting_client().await;
    let mut there = lab.lasting_worker().await;
    let mut elsewhere = lab.lasting_worker().await;
    let guard = here.lock("a").unwrap().acquire().await.unwrap();
    let first = guard.token().unwrap().value;
    assert!(!there.try_acquire("a").await, "this process holds it");
    guard.release().await.unwrap();
    let second = there.acquire("a").await;
    assert!(here.lock("a").unwrap().try_acquire().await.unwrap().is_none(), "another process holds it");
    assert!(!elsewhere.try_acquire("a").await, "another process holds it");
    assert!(there.is_held().await);
    elsewhere.begin_acquire("a");
    lab.until_waiting(&here, "a", 1).await;
    assert_eq!(there.release().await, "released");
    let third: u64 = elsewhere.answer().await.strip_prefix("held ").unwrap().parse().unwrap();
    assert!(first < second && second < third, "{first}, {second}, {third}");
    assert_eq!(elsewhere.release().await, "released");
    lab.until_empty().await;
    there.close().await;
    elsewhere.close().await;
}

async fn a_lock_works_after_a_failed_try(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let lock = two.lock("a").unwrap();
    for _ in 0..3 {
        assert!(lock.try_acquire().await.unwrap().is_none());
    }
    guard.release().await.unwrap();
    let guard = lock.try_acquire().await.unwrap().expect("the name is free now");
    guard.release().await.unwrap();
    lab.soon("the lock is acquired", lock.acquire()).await.unwrap().release().await.unwrap();
    lab.until_empty().await;
}
