//! Tokens grow, whatever happens to those who hold, and a fence that checks them refuses stale holders.

use std::sync::Arc;

use dlock_core::{Capability, ErrorKind, Fence, Guard, Locks, Token, Withdrawn};

use crate::broken::losses::Hidden;
use crate::broken::tokens::{Miscounts, Rule};
use crate::{Case, Lab, Need};

const GROUP: &str = "fencing";
const BREAK: Need = Need::Capability(Capability::Break);
const SHARED: Need = Need::Capability(Capability::Shared);
const PERMITS: Need = Need::Capability(Capability::Permits);

pub(super) const CASES: &[Case] = &[
    case!([81] tokens_grow_with_every_exclusive_grant, needs [],
        trips on Miscounts::by(Rule::CounterDiesWithItsName)),
    case!([81] tokens_grow_over_shared_and_exclusive_grants, needs [SHARED],
        trips on Miscounts::by(Rule::OnlyWritersCount)),
    case!([81] every_permit_has_a_higher_token_than_those_before, needs [PERMITS],
        trips on Miscounts::by(Rule::OneForAllPermits)),
    case!([81] a_fence_refuses_a_holder_that_was_replaced, needs [],
        trips on Miscounts::by(Rule::Constant)),
    case!([82] reentry_keeps_the_token_over_renewals, needs [],
        trips on Miscounts::by(Rule::RenewalsCount)),
    case!([83] tokens_grow_after_a_holder_died, needs [],
        trips on Miscounts::by(Rule::CounterDiesWithItsName)),
    case!([83] tokens_grow_after_a_forced_break, needs [BREAK],
        trips on Miscounts::by(Rule::HeirsInherit)),
    case!([84] tokens_grow_or_change_their_epoch_after_the_entries_were_deleted, needs [Need::Tamper],
        trips on Miscounts::by(Rule::CounterDiesWithItsName)),
    case!([85] a_lost_guard_gives_out_no_token, needs [BREAK], trips on Hidden::default()),
];

async fn tokens_grow_with_every_exclusive_grant(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.lock("a").unwrap(), two.lock("a").unwrap());
    let mut last = None;
    for lock in [&here, &there, &here] {
        let tried = lock.try_acquire().await.unwrap().expect("the name is free");
        grows(&mut last, &tried);
        let waiting = lab.line_up(&one, &there).await;
        tried.release().await.unwrap();
        let waited = lab.soon("the waiter is served", waiting).await.unwrap().unwrap();
        grows(&mut last, &waited);
        waited.release().await.unwrap();
        let within = here.acquire_within(lab.patience()).await.unwrap().expect("the name is free");
        grows(&mut last, &within);
        within.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn tokens_grow_over_shared_and_exclusive_grants(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.rw_lock("a").unwrap(), two.rw_lock("a").unwrap());
    let mut last = None;
    for _ in 0..2 {
        let writer = here.write().acquire().await.unwrap();
        grows(&mut last, &writer);
        let waiting = lab.line_up(&one, there.read()).await;
        writer.release().await.unwrap();
        let first = lab.soon("the reader is served", waiting).await.unwrap().unwrap();
        grows(&mut last, &first);
        let second = here.read().acquire().await.unwrap();
        grows(&mut last, &second);
        first.release().await.unwrap();
        second.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn every_permit_has_a_higher_token_than_those_before(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.semaphore("a", 2).unwrap(), two.semaphore("a", 2).unwrap());
    let mut last = None;
    let first = here.acquire().await.unwrap();
    grows(&mut last, &first);
    let second = there.acquire().await.unwrap();
    grows(&mut last, &second);
    let waiting = lab.line_up(&one, here.as_lock()).await;
    first.release().await.unwrap();
    let third = lab.soon("the waiter is served", waiting).await.unwrap().unwrap();
    grows(&mut last, &third);
    second.release().await.unwrap();
    third.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_fence_refuses_a_holder_that_was_replaced(lab: Arc<Lab>) {
    let (doomed, heir) = (lab.crashable().await, lab.lasting_client().await);
    let mut resource = Fence::default();
    let stale = doomed.locks.lock("a").unwrap().acquire().await.unwrap();
    let stale_token = stale.token().unwrap();
    resource.check(stale_token).unwrap();
    doomed.crash();
    let guard = lab.soon("the next is served", heir.lock("a").unwrap().acquire()).await.unwrap();
    resource.check(guard.token().unwrap()).unwrap();
    let refused = resource.check(stale_token).expect_err("the resource has seen the successor's token");
    assert_eq!(refused.kind(), ErrorKind::Lost);
    resource.check(guard.token().unwrap()).unwrap();
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn reentry_keeps_the_token_over_renewals(lab: Arc<Lab>) {
    let owner = lab.client().await.owner("one");
    let lock = owner.lock("a").unwrap();
    let outer = lock.acquire().await.unwrap();
    let token = outer.token().unwrap();
    let before = lab.requests().count().renewals;
    lab.until("the lease was renewed twice, or is lost", || async {
        lab.requests().count().renewals >= before + 2 || !outer.is_held()
    })
    .await;
    let inner = lock.acquire().await.unwrap();
    assert_eq!((inner.token().unwrap(), outer.token().unwrap()), (token, token));
    outer.release().await.unwrap();
    assert_eq!(inner.token().unwrap(), token);
    inner.release().await.unwrap();
    lab.until_empty().await;
}

async fn tokens_grow_after_a_holder_died(lab: Arc<Lab>) {
    let (doomed, heir) = (lab.crashable().await, lab.lasting_client().await);
    let mut last = None;
    let lost = doomed.locks.lock("a").unwrap().acquire().await.unwrap();
    grows(&mut last, &lost);
    doomed.crash();
    // Nobody waits while the claim lapses, so that nothing but the counter remembers it.
    lab.until("the dead client's claim is gone", || async { heir.inspect("a").await.unwrap().is_free() }).await;
    let guard = heir.lock("a").unwrap().acquire().await.unwrap();
    grows(&mut last, &guard);
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn tokens_grow_after_a_forced_break(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let mut last = None;
    let broken = one.lock("a").unwrap().acquire().await.unwrap();
    grows(&mut last, &broken);
    let waiting = lab.line_up(&two, &two.lock("a").unwrap()).await;
    break_holder(&two).await;
    let guard = lab.soon("the waiter is served", waiting).await.unwrap().unwrap();
    grows(&mut last, &guard);
    guard.release().await.unwrap();
    drop(broken);
    lab.until_empty().await;
}

async fn tokens_grow_or_change_their_epoch_after_the_entries_were_deleted(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let mut resource = Fence::default();
    let stale = one.lock("a").unwrap().acquire().await.unwrap();
    let stale_token = stale.token().unwrap();
    resource.check(stale_token).unwrap();
    lab.tamper().delete(lab.namespace(), stale.name()).await;
    let guard = lab.soon("the next is served", two.lock("a").unwrap().acquire()).await.unwrap();
    let token = guard.token().unwrap();
    if token.epoch == stale_token.epoch {
        assert!(token.value > stale_token.value, "{token} is not higher than {stale_token}");
    } else {
        resource.check(token).expect_err("a fence notices that the history was lost");
        resource.accept_epoch(token.epoch);
    }
    resource.check(token).unwrap();
    resource.check(stale_token).expect_err("the stale holder is refused");
    guard.release().await.unwrap();
    drop(stale);
    lab.until_empty().await;
}

async fn a_lost_guard_gives_out_no_token(lab: Arc<Lab>) {
    let (one, two) = (lab.client().await, lab.client().await);
    let owner = one.owner("one");
    let lock = owner.lock("a").unwrap();
    let (outer, inner) = (lock.acquire().await.unwrap(), lock.acquire().await.unwrap());
    outer.token().unwrap();
    break_holder(&two).await;
    lab.soon("the holder sees its loss", outer.lost()).await;
    for guard in [&outer, &inner] {
        assert_eq!(guard.token().unwrap_err().kind(), ErrorKind::Lost);
        assert_eq!(guard.lease().unwrap_err().kind(), ErrorKind::Lost);
        assert!(guard.remaining().is_zero());
    }
    drop((outer, inner));
    lab.until_empty().await;
}

/// Breaks the claim of whoever holds "a".
async fn break_holder(locks: &Locks) {
    let holder = locks.inspect("a").await.unwrap().holders.remove(0);
    assert_eq!(locks.break_claim(&holder.claim).await.unwrap(), Withdrawn::Removed);
}

/// The guard's token is of the same history as the last one, and higher.
fn grows(last: &mut Option<Token>, guard: &Guard) {
    let token = guard.token().unwrap();
    if let Some(before) = last.replace(token) {
        assert_eq!(token.epoch, before.epoch, "no history was lost");
        assert!(token.value > before.value, "{token} is not higher than {before}");
    }
}
