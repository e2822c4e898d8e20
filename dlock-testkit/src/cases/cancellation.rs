//! Acquires that are dropped, time out, or end in a panic; clients that close.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use dlock_core::{ErrorKind, Guard, Lock, Locks, Loss};
use futures::future::poll_immediate;

use crate::broken::cleanup::{CancelForgotten, CancelMissesTheGranted, CancelSeversTheLine, OrphansLiveOn};
use crate::broken::lives::ShortLived;
use crate::cancellation::{drop_at_random, rounds};
use crate::{Case, Lab};

const GROUP: &str = "cancellation";

pub(super) const CASES: &[Case] = &[
    case!([39, 40] an_acquire_dropped_unstarted_does_nothing_and_dropped_in_line_leaves_it, needs [],
        trips on CancelForgotten),
    case!([41] an_acquire_dropped_after_any_number_of_polls_leaves_no_orphan, needs [], trips on CancelForgotten),
    case!([41] acquires_dropped_at_random_leave_no_orphan, needs [], trips on OrphansLiveOn::default()),
    case!([42] a_cancelled_waiter_does_not_block_its_successors, needs [], trips on CancelSeversTheLine::default()),
    case!([43] a_timeout_racing_with_the_grant_ends_in_a_guard_or_in_nothing, needs [], trips on CancelMissesTheGranted),
    case!([44] a_panic_in_the_critical_section_releases, needs [], trips on OrphansLiveOn::default()),
    case!([44] a_forgotten_guard_is_withdrawn_when_the_client_closes, needs [], trips on OrphansLiveOn::default()),
    case!([44] a_forgotten_guard_ends_with_the_maximum_hold_time, needs [], trips on OrphansLiveOn::default()),
    case!([44] closing_never_ends_a_claim_before_its_ttl_on_which_a_guard_counts, needs [], trips on ShortLived),
];

async fn an_acquire_dropped_unstarted_does_nothing_and_dropped_in_line_leaves_it(lab: Arc<Lab>) {
    let (holder, waiter) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let lock = waiter.lock("a").unwrap();
    let before = lab.requests().count();
    drop(lock.acquire());
    drop(lock.acquire_within(Duration::from_secs(60)));
    waiter.health().await.unwrap();
    assert_eq!(lab.requests().count(), before, "nothing was asked for an acquire that never began");

    let mut waiting = Box::pin(lock.acquire());
    assert!(poll_immediate(&mut waiting).await.is_none());
    lab.until_waiting(&holder, "a", 1).await;
    drop(waiting);
    lab.until_waiting(&holder, "a", 0).await;
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn an_acquire_dropped_after_any_number_of_polls_leaves_no_orphan(lab: Arc<Lab>) {
    let (holder, waiter) = (lab.lasting_client().await, lab.lasting_client().await);
    let free = waiter.lock("free").unwrap();
    lab.soon("an acquire is done after some polls", drop_until_done(&free)).await;
    lab.until_empty().await;

    let guard = holder.lock("taken").unwrap().acquire().await.unwrap();
    let taken = waiter.lock("taken").unwrap();
    for polls in 1..=3 {
        let mut acquire = Box::pin(taken.acquire());
        assert!(poll_immediate(&mut acquire).await.is_none());
        if polls > 1 {
            lab.until_waiting(&holder, "taken", 1).await;
        }
        if polls > 2 {
            assert!(poll_immediate(&mut acquire).await.is_none());
        }
        drop(acquire);
        lab.until_waiting(&holder, "taken", 0).await;
    }
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn acquires_dropped_at_random_leave_no_orphan(lab: Arc<Lab>) {
    let clients = [lab.lasting_client().await, lab.lasting_client().await];
    let times = rounds(200);
    let ended = lab.soon("the acquires end", drop_at_random(&clients, 41, times)).await;
    assert_eq!(ended.failed, 0, "{ended:?}");
    assert!(ended.in_flight > times / 10, "{ended:?}");
    lab.until_empty().await;
}

async fn a_cancelled_waiter_does_not_block_its_successors(lab: Arc<Lab>) {
    let holder = lab.lasting_client().await;
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let released = Arc::new(AtomicBool::new(false));
    let mut waiting = Vec::new();
    for there in 1..=4 {
        let (locks, released) = (lab.lasting_client().await, released.clone());
        waiting.push(tokio::spawn(async move {
            let guard = locks.lock("a").unwrap().acquire().await.unwrap();
            assert!(released.load(Ordering::SeqCst), "granted while another held");
            guard.release().await.unwrap();
        }));
        lab.until_waiting(&holder, "a", there).await;
    }
    for cancelled in [1, 0] {
        waiting.remove(cancelled).abort();
        lab.until_waiting(&holder, "a", 2 + cancelled).await;
    }
    released.store(true, Ordering::SeqCst);
    guard.release().await.unwrap();
    for successor in waiting {
        lab.soon("those behind are granted", successor).await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_timeout_racing_with_the_grant_ends_in_a_guard_or_in_nothing(lab: Arc<Lab>) {
    let (holder, waiter) = (lab.lasting_client().await, lab.lasting_client().await);
    for round in 0..20 {
        let guard = holder.lock("a").unwrap().acquire().await.unwrap();
        let lock = waiter.lock("a").unwrap();
        let waiting = tokio::spawn(async move { lock.acquire_within(Duration::from_millis(40)).await });
        tokio::time::sleep(Duration::from_millis(31 + round)).await;
        guard.release().await.unwrap();
        let granted = lab.soon("the wait ends", waiting).await.unwrap().unwrap();
        if let Some(guard) = granted {
            assert!(guard.is_held());
            assert_eq!(holder.inspect("a").await.unwrap().holders.len(), 1);
            guard.release().await.unwrap();
        }
        lab.until_empty().await;
    }
}

async fn a_panic_in_the_critical_section_releases(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let ended = tokio::spawn(async move {
        let _guard = guard;
        std::panic::resume_unwind(Box::new("in the critical section"));
    });
    assert!(ended.await.unwrap_err().is_panic());
    let next = lab.soon("the successor is granted", two.lock("a").unwrap().acquire()).await.unwrap();
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_forgotten_guard_is_withdrawn_when_the_client_closes(lab: Arc<Lab>) {
    let locks = lab.client().await;
    std::mem::forget(locks.lock("a").unwrap().acquire().await.unwrap());
    lab.soon("the client is closed", locks.close()).await.unwrap();
    lab.until_empty().await;
}

async fn a_forgotten_guard_ends_with_the_maximum_hold_time(lab: Arc<Lab>) {
    let locks = lab.client_with(|builder| builder.max_hold_time(lab.ttl() / 2)).await;
    std::mem::forget(locks.lock("a").unwrap().acquire().await.unwrap());
    let next = lab.soon("the next one is granted", locks.lock("a").unwrap().acquire()).await.unwrap();
    assert_eq!(lab.soon("it ends too", next.lost()).await, Loss::MaxHold);
    assert_eq!(next.release().await.unwrap_err().kind(), ErrorKind::Lost);
    lab.until_empty().await;
}

async fn closing_never_ends_a_claim_before_its_ttl_on_which_a_guard_counts(lab: Arc<Lab>) {
    let (closing, rival) = (lab.client().await, lab.client().await);
    let lives_until = |guard: &Guard| Instant::now() + guard.remaining().min(lab.ttl());
    let (guard, kept) = (closing.lock("a").unwrap().acquire().await.unwrap(), closing.lock("b").unwrap());
    let kept = kept.acquire().await.unwrap();
    let next = tokio::spawn(acquire(rival.clone(), "b"));
    lab.until_waiting(&rival, "b", 1).await;

    let until = lives_until(&kept);
    let closed = tokio::spawn({
        let closing = closing.clone();
        async move { closing.close().await }
    });
    assert_eq!(lab.soon("the guard is told", kept.lost()).await, Loss::Closed);
    assert_eq!(lab.soon("the guard is told", guard.lost()).await, Loss::Closed);
    drop(guard);
    lab.soon("a dropped guard frees its lock", rival.lock("a").unwrap().acquire())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();

    let successor = lab.soon("the rest lapses", next).await.unwrap();
    assert!(Instant::now() >= until, "the successor came before the guard's time was up");
    drop(kept);
    lab.soon("the client is closed", closed).await.unwrap().unwrap();
    successor.release().await.unwrap();
    lab.until_empty().await;
}

async fn acquire(locks: Locks, name: &'static str) -> Guard {
    locks.lock(name).unwrap().acquire().await.unwrap()
}

/// Drops an acquire after no poll, after one, after two and so on, until one is done before.
async fn drop_until_done(lock: &Lock) {
    for polls in 0.. {
        let mut acquire = Box::pin(lock.acquire());
        for _ in 0..polls {
            if let Some(guard) = poll_and_rest(&mut acquire).await {
                return guard.unwrap().release().await.unwrap();
            }
        }
    }
}

/// Polls once, and waits until another poll could get further.
async fn poll_and_rest<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(None);
        }
        Pin::new(&mut *future).poll(context).map(Some)
    })
    .await
}
