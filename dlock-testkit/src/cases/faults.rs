//! Clients that are killed or stopped, lines that are cut, replies that get lost.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use dlock_core::{Capability, ErrorKind, Fence, Guard, LeaseState, Loss, Queue, Renewal, Requested, Token, Why};

use crate::broken::cleanup::CancelForgotten;
use crate::broken::lives::{OnlyReleasesCount, ShortLived, TakesOldForDead};
use crate::broken::release::ReleaseByName;
use crate::broken::retry::{RemembersTheFirstAnswer, RepetitionsAdd};
use crate::broken::storing::GoneLooksAlive;
use crate::cases::by_hand::claim;
use crate::{Case, Lab, Need};

const GROUP: &str = "faults";

pub(super) const CASES: &[Case] = &[
    case!([53] a_killed_process_is_replaced, needs [Need::Processes], trips on OnlyReleasesCount),
    case!([54] a_client_that_vanished_frees_all_it_held_and_waited_for, needs [], trips on OnlyReleasesCount),
    case!([55] a_stopped_process_knows_how_it_stands_when_it_goes_on, needs [Need::Processes],
        trips on TakesOldForDead::default()),
    case!([55] a_client_that_stood_still_sees_its_loss_at_once_and_is_fenced, needs [Need::TtlLife],
        trips on ShortLived),
    case!([57] a_cut_shorter_than_the_spare_time_keeps_the_lock, needs [Need::TtlLife], trips on ShortLived),
    case!([58] a_cut_longer_than_the_ttl_is_a_loss_before_the_successor_is_granted, needs [Need::TtlLife],
        trips on ShortLived),
    case!([61] an_acquire_whose_replies_got_lost_is_applied_once, needs [], trips on RepetitionsAdd::default()),
    case!([61] a_request_repeated_after_its_claim_lapsed_is_no_hold, needs [Need::TtlLife],
        trips on RemembersTheFirstAnswer::default()),
    case!([62] a_release_whose_reply_got_lost_never_frees_the_successor, needs [], trips on ReleaseByName),
    case!([64] an_acquire_that_failed_after_it_landed_leaves_nothing, needs [], trips on CancelForgotten),
    case!([66] a_waiter_whose_claim_was_ended_stands_in_line_again, needs [Need::Capability(Capability::Break)],
        trips on GoneLooksAlive::default()),
];

async fn a_killed_process_is_replaced(lab: Arc<Lab>) {
    let (mut holder, mut waiter, mut last) = (lab.worker().await, lab.worker().await, lab.worker().await);
    let locks = lab.client().await;
    let first = holder.acquire("a").await;
    waiter.begin_acquire("a");
    lab.until_waiting(&locks, "a", 1).await;
    last.begin_acquire("a");
    lab.until_waiting(&locks, "a", 2).await;
    let mine = lab.line_up(&locks, &locks.lock("a").unwrap()).await;

    waiter.kill();
    holder.kill();
    let answer = lab.soon("a living waiter is granted", last.answer()).await;
    let second: u64 = answer.strip_prefix("held ").unwrap().parse().unwrap();
    assert!(second > first);
    last.kill();
    let guard = lab.soon("the next one is granted", mine).await.unwrap().unwrap();
    assert!(guard.token().unwrap().value > second);
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_client_that_vanished_frees_all_it_held_and_waited_for(lab: Arc<Lab>) {
    let (locks, doomed) = (lab.client().await, lab.crashable().await);
    let taken = locks.lock("taken").unwrap().acquire().await.unwrap();
    let mut lost = Vec::new();
    for i in 0..10 {
        lost.push(doomed.locks.lock(format!("n{i}")).unwrap().acquire().await.unwrap());
    }
    let waiting = lab.line_up(&locks, &doomed.locks.lock("taken").unwrap()).await;
    let next = lab.line_up(&locks, &locks.lock("n0").unwrap()).await;

    doomed.crash();
    let successor = lab.soon("the one behind is granted", next).await.unwrap().unwrap();
    for i in 1..10 {
        let freed = lab.soon("the others are free", locks.lock(format!("n{i}")).unwrap().acquire()).await.unwrap();
        freed.release().await.unwrap();
    }
    for guard in lost {
        assert!(!guard.is_held());
    }
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    lab.until_waiting(&locks, "taken", 0).await;
    for guard in [taken, successor] {
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_stopped_process_knows_how_it_stands_when_it_goes_on(lab: Arc<Lab>) {
    let mut worker = lab.worker().await;
    let locks = lab.client().await;
    let token = worker.acquire("a").await;
    let lock = locks.lock("a").unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    worker.stop();
    if lab.info().capabilities.has(Capability::ProcessLife) {
        tokio::time::sleep(lab.ttl() * 2).await;
        assert!(lock.try_acquire().await.unwrap().is_none(), "a stopped process keeps its lock");
        worker.resume();
        assert!(worker.is_held().await);
        assert_eq!(worker.release().await, "released");
        lab.soon("it is free", lock.acquire()).await.unwrap().release().await.unwrap();
    } else {
        let successor = lab.soon("a stopped process is replaced", lock.acquire()).await.unwrap();
        worker.resume();
        assert!(!worker.is_held().await, "it sees its loss on its first look");
        assert_fenced(&successor, Token { value: token, ..successor.token().unwrap() });
        assert_ne!(worker.release().await, "released");
        assert!(successor.is_held());
        assert_eq!(locks.inspect("a").await.unwrap().holders.len(), 1);
        successor.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_client_that_stood_still_sees_its_loss_at_once_and_is_fenced(lab: Arc<Lab>) {
    let (locks, stalled) = (lab.client().await, lab.crashable().await);
    let guard = stalled.locks.lock("a").unwrap().acquire().await.unwrap();
    let token = guard.token().unwrap();
    let (go_on, stands_still) = mpsc::channel::<()>();
    // The runtime of its keeper has one thread.
    stalled.handle().spawn(async move { stands_still.recv().expect_err("nothing is sent") });
    let successor = lab.soon("it is replaced", locks.lock("a").unwrap().acquire()).await.unwrap();
    assert!(!guard.is_held(), "its first look tells, though its keeper had no turn yet");
    assert_eq!(guard.state(), LeaseState::Lost(Loss::Deadline));
    assert_eq!(guard.token().unwrap_err().kind(), ErrorKind::Lost);
    assert_fenced(&successor, token);
    drop(go_on);
    assert_eq!(lab.soon("a release is answered", guard.release()).await.unwrap_err().kind(), ErrorKind::Lost);
    let state = locks.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.holders[0].token), (1, Some(successor.token().unwrap())));
    successor.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_cut_shorter_than_the_spare_time_keeps_the_lock(lab: Arc<Lab>) {
    // Renewed every third of it, so that a cut of 45 % leaves a fifth to get through again.
    let ttl = lab.info().ttl.clamp(lab.ttl() * 5);
    let (cut_off, faults) = lab.faulty_client_with(|builder| builder.ttl(ttl)).await;
    let rival = lab.client().await;
    let guard = cut_off.lock("a").unwrap().acquire().await.unwrap();
    faults.cut();
    tokio::time::sleep(ttl * 45 / 100).await;
    assert_eq!(guard.state(), LeaseState::Doubtful);
    assert!(rival.lock("a").unwrap().try_acquire().await.unwrap().is_none(), "the service keeps it as long");
    faults.heal();
    lab.until("a renewal is answered", || async { guard.state() != LeaseState::Doubtful }).await;
    assert_eq!(guard.state(), LeaseState::Held);
    assert!(guard.remaining() > ttl / 2);
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_cut_longer_than_the_ttl_is_a_loss_before_the_successor_is_granted(lab: Arc<Lab>) {
    let (cut_off, faults) = lab.faulty_client().await;
    let rival = lab.client().await;
    let guard = cut_off.lock("a").unwrap().acquire().await.unwrap();
    let next = lab.line_up(&rival, &rival.lock("a").unwrap()).await;
    faults.cut();
    let successor = lab.soon("the successor is granted", next).await.unwrap().unwrap();
    assert!(!guard.is_held(), "two believe that they hold");
    assert_eq!(lab.soon("the loss is told", guard.lost()).await, Loss::Deadline);
    faults.heal();
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    // What the client still has to say about its claim comes before this.
    assert!(cut_off.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    assert!(successor.is_held());
    assert_eq!(rival.inspect("a").await.unwrap().holders.len(), 1);
    successor.release().await.unwrap();
    lab.until_empty().await;
}

async fn an_acquire_whose_replies_got_lost_is_applied_once(lab: Arc<Lab>) {
    let (one, faults) = lab.faulty_client_with(|builder| builder.ttl(lab.long_ttl())).await;
    let two = lab.lasting_client().await;
    faults.lose_replies(3);
    let guard = lab.soon("it is granted all the same", one.lock("a").unwrap().acquire()).await.unwrap();
    assert_eq!(faults.replies_to_lose(), 0);
    let state = two.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (1, 0), "{state:?}");
    assert_eq!(state.holders[0].token, Some(guard.token().unwrap()));

    faults.lose_replies(3);
    let other = two.lock("b").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&two, &one.lock("b").unwrap()).await;
    lab.until("the request was repeated", || async { faults.replies_to_lose() == 0 }).await;
    assert_eq!(two.inspect("b").await.unwrap().waiters.len(), 1);
    other.release().await.unwrap();
    let next = lab.soon("the waiter is granted", waiting).await.unwrap().unwrap();
    for guard in [guard, next] {
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_request_repeated_after_its_claim_lapsed_is_no_hold(lab: Arc<Lab>) {
    let (backend, rival) = (lab.backend().await, lab.client().await);
    let claim = claim(&lab, "a");
    assert!(matches!(backend.request(&claim, Queue::Yes).await, Ok(Requested::Held(..))), "the name was free");
    // Nobody renews it, so that the rival is granted.
    let guard = lab.soon("the claim lapses", rival.lock("a").unwrap().acquire()).await.unwrap();
    let again = backend.request(&claim, Queue::Yes).await;
    assert!(!matches!(again, Ok(Requested::Held(..))), "two would hold: {again:?}");
    let renewed = backend.renew(&[claim.to_ref()]).await.remove(0);
    assert!(!matches!(renewed, Ok(Renewal::Alive { grant: Some(_), .. })), "two would hold: {renewed:?}");
    assert!(guard.is_held());
    backend.withdraw(&claim.to_ref(), Why::Cancel).await.unwrap();
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_release_whose_reply_got_lost_never_frees_the_successor(lab: Arc<Lab>) {
    let (one, faults) = lab.faulty_client().await;
    let two = lab.client().await;
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let next = lab.line_up(&two, &two.lock("a").unwrap()).await;
    faults.lose_replies(3);
    lab.soon("the release is repeated until it is answered", guard.release()).await.unwrap();
    assert_eq!(faults.replies_to_lose(), 0);
    let successor = lab.soon("the successor is granted", next).await.unwrap().unwrap();
    assert!(one.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    let state = two.inspect("a").await.unwrap();
    let tokens: Vec<_> = state.holders.iter().map(|holder| holder.token).collect();
    assert_eq!(tokens, [Some(successor.token().unwrap())]);
    successor.release().await.unwrap();
    lab.until_empty().await;
}

async fn an_acquire_that_failed_after_it_landed_leaves_nothing(lab: Arc<Lab>) {
    let impatient = Duration::from_millis(300);
    let (one, faults) = lab.faulty_client_with(|builder| builder.ttl(lab.long_ttl()).retry_for(impatient)).await;
    let two = lab.lasting_client().await;
    let taken = two.lock("taken").unwrap().acquire().await.unwrap();
    for name in ["free", "taken"] {
        faults.lose_replies(usize::MAX);
        let failed = lab.soon("it gives up", one.lock(name).unwrap().acquire()).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable);
        faults.lose_replies(0);
        let left = usize::from(name == "taken");
        lab.until("what it had taken is free", || async {
            let state = two.inspect(name).await.unwrap();
            state.holders.len() + state.waiters.len() == left
        })
        .await;
        assert_eq!(one.lock(name).unwrap().try_acquire().await.unwrap().is_some(), name == "free");
    }
    taken.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_waiter_whose_claim_was_ended_stands_in_line_again(lab: Arc<Lab>) {
    let (holder, waiter) = (lab.client().await, lab.client().await);
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&holder, &waiter.lock("a").unwrap()).await;
    let ended = holder.inspect("a").await.unwrap().waiters.remove(0).claim;
    holder.break_claim(&ended).await.unwrap();
    lab.until("it stands in line under a new claim", || async {
        holder.inspect("a").await.unwrap().waiters.iter().any(|there| there.claim.id != ended.id)
    })
    .await;
    guard.release().await.unwrap();
    let next = lab.soon("it is granted", waiting).await.unwrap().unwrap();
    next.release().await.unwrap();
    lab.until_empty().await;
}

/// A resource that the successor has written to refuses the token of the one before.
fn assert_fenced(successor: &Guard, stale: Token) {
    let mut fence = Fence::default();
    fence.check(stale).unwrap();
    fence.check(successor.token().unwrap()).unwrap();
    assert_eq!(fence.check(stale).unwrap_err().kind(), ErrorKind::Lost);
}
