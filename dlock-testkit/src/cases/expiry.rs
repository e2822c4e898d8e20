//! How long claims live: expiry, renewal, and the loss of a lease.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Capability, Clock, ErrorKind, Guard, LeaseState, LockName, Locks, Loss, Renewal};
use futures::FutureExt;

use crate::broken::life::{BoundsUndeclared, LifeFromItsAnswer, TtlInTheWrongUnit};
use crate::broken::losses::Hidden;
use crate::broken::release::ReleaseReportsLoss;
use crate::broken::renewal::{FailureIsLoss, RenewalRecreates, RenewsAllItEverMade, RenewsNothing};
use crate::cases::by_hand::{ByHand, claim};
use crate::{Case, Lab, Need};

const GROUP: &str = "expiry";

pub(super) const CASES: &[Case] = &[
    case!([27] a_dead_clients_claim_is_freed, needs [], trips on TtlInTheWrongUnit),
    case!([28] a_held_lock_outlives_many_ttls, needs [Need::TtlLife], trips on RenewsNothing::default()),
    case!([28] a_blocked_application_loses_no_lease, needs [Need::TtlLife], trips on RenewsNothing::default()),
    case!([29] renewal_stops_at_the_release, needs [], trips on RenewsAllItEverMade::default()),
    case!([30] renewal_stops_at_a_cancelled_acquire, needs [], trips on RenewsAllItEverMade::default()),
    case!([31] renewal_stops_when_the_guard_is_dropped, needs [], trips on RenewsAllItEverMade::default()),
    case!([32] one_failed_renewal_is_repeated_and_the_lock_survives, needs [], trips on FailureIsLoss),
    case!([33] a_deleted_claim_is_reported_as_lost, needs [Need::Tamper], trips on Hidden::default()),
    case!([34] a_late_renewal_never_revives_an_expired_claim, needs [Need::TtlLife], trips on RenewalRecreates),
    case!([34] a_late_renewal_never_disturbs_the_successor, needs [Need::TtlLife], trips on RenewalRecreates),
    case!([35] asking_for_a_loss_that_happened_answers_at_once, needs [Need::Capability(Capability::Break)],
        trips on Hidden::default()),
    case!([36] an_ordinary_release_is_not_a_loss, needs [], trips on ReleaseReportsLoss),
    case!([37] a_holder_knows_of_its_loss_before_the_server_regrants, needs [Need::TtlLife],
        trips on LifeFromItsAnswer),
    case!([38] a_ttl_out_of_bounds_is_refused_or_clamped, needs [], trips on BoundsUndeclared),
];

async fn a_dead_clients_claim_is_freed(lab: Arc<Lab>) {
    let (doomed, rival) = (lab.crashable().await, lab.client().await);
    let guard = doomed.locks.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&rival, &rival.lock("a").unwrap()).await;
    let believed_until = guard.lease().unwrap().valid_until;
    doomed.crash();
    let next = lab.soon("the dead client's claim is freed", waiting).await.unwrap().unwrap();
    let now = Clock::system().now();
    assert!(believed_until.is_none_or(|until| until < now), "freed while its holder could believe in it");
    assert!(next.is_held());
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_held_lock_outlives_many_ttls(lab: Arc<Lab>) {
    let (locks, rival, clock) = (lab.client().await, lab.client().await, Clock::system());
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let token = guard.token().unwrap();
    let waiting = lab.line_up(&locks, &rival.lock("a").unwrap()).await;
    let until = clock.now() + lab.takeover() * 4;
    while clock.now() < until {
        assert!(!waiting.is_finished(), "another was granted the name");
        assert_eq!(guard.token().expect("the lease is held"), token);
        clock.sleep(lab.ttl() / 5).await;
    }
    guard.release().await.unwrap();
    let next = lab.soon("the waiter outlived its ttl in line, too", waiting).await.unwrap().unwrap();
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_blocked_application_loses_no_lease(lab: Arc<Lab>) {
    let (rival, ttl) = (lab.client().await, lab.ttl());
    let application = lab.clone();
    let blocked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let locks = application.client().await;
            let guard = locks.lock("a").unwrap().acquire().await.unwrap();
            // The only thread of this runtime does nothing else for so long.
            std::thread::sleep(ttl * 3);
            assert!(guard.is_held(), "the lease was lost: {:?}", guard.state());
            (locks, guard)
        })
    });
    let (_locks, guard) = tokio::task::spawn_blocking(move || blocked.join()).await.unwrap().expect("it was held");
    assert!(rival.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn renewal_stops_at_the_release(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let kept = locks.lock("kept").unwrap().acquire().await.unwrap();
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    until_renewed(&lab, 1).await;
    guard.release().await.unwrap();
    assert_not_renewed(&lab, &locks, &kept).await;
    kept.release().await.unwrap();
    lab.until_empty().await;
}

async fn renewal_stops_at_a_cancelled_acquire(lab: Arc<Lab>) {
    let (locks, rival) = (lab.client().await, lab.client().await);
    let kept = rival.lock("kept").unwrap().acquire().await.unwrap();
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&locks, &rival.lock("a").unwrap()).await;
    until_renewed(&lab, 2).await;
    waiting.abort();
    lab.until_waiting(&locks, "a", 0).await;
    guard.release().await.unwrap();
    assert_not_renewed(&lab, &locks, &kept).await;
    kept.release().await.unwrap();
    lab.until_empty().await;
}

async fn renewal_stops_when_the_guard_is_dropped(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let kept = locks.lock("kept").unwrap().acquire().await.unwrap();
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    until_renewed(&lab, 1).await;
    drop(guard);
    lab.until("the dropped guard's name is free", || async { locks.inspect("a").await.unwrap().is_free() }).await;
    assert_not_renewed(&lab, &locks, &kept).await;
    kept.release().await.unwrap();
    lab.until_empty().await;
}

async fn one_failed_renewal_is_repeated_and_the_lock_survives(lab: Arc<Lab>) {
    let (locks, faults) = lab.faulty_client().await;
    let rival = lab.client().await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let token = guard.token().unwrap();
    faults.lose_renewals(1);
    lab.until("a renewal was lost", || async { faults.lost_renewals() == 1 }).await;
    let renewals = lab.requests().count().renewals;
    lab.until("it was repeated", || async {
        let renewed = lab.requests().count().renewals > renewals && guard.state() == LeaseState::Held;
        renewed || !guard.is_held()
    })
    .await;
    assert_eq!(guard.token().expect("one lost renewal is no loss"), token);
    assert!(rival.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_deleted_claim_is_reported_as_lost(lab: Arc<Lab>) {
    let (locks, rival) = (lab.client().await, lab.client().await);
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let name: LockName = "a".parse().unwrap();
    lab.tamper().delete(lab.namespace(), &name).await;
    let loss = seen_loss(&lab, &guard).await;
    assert_ne!(loss, Loss::Deadline, "it was noticed only because time ran out");
    assert_eq!(guard.token().unwrap_err().kind(), ErrorKind::Lost);
    let next = lab.soon("the name can be used again", rival.lock("a").unwrap().acquire()).await.unwrap();
    drop(guard);
    assert!(next.is_held());
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_late_renewal_never_revives_an_expired_claim(lab: Arc<Lab>) {
    let one = ByHand::client(&lab).await;
    let expired = claim(&lab, "a");
    one.hold(&expired).await;
    lab.until("the claim expired", || async { one.holder("a").await.is_none() }).await;
    for _ in 0..2 {
        let answer = one.renew(&expired).await;
        assert!(matches!(answer, Renewal::Gone(_)), "an expired claim was revived: {answer:?}");
    }
    assert_eq!(one.holder("a").await, None);
    assert_eq!(lab.claims().await, 0);
}

async fn a_late_renewal_never_disturbs_the_successor(lab: Arc<Lab>) {
    let (one, two) = (ByHand::client(&lab).await, ByHand::client(&lab).await);
    let (expired, successor) = (claim(&lab, "a"), claim(&lab, "a"));
    one.hold(&expired).await;
    let granted = two.hold(&successor).await;
    let answer = one.renew(&expired).await;
    assert!(matches!(answer, Renewal::Gone(_)), "an expired claim was revived: {answer:?}");
    assert_eq!(two.holder("a").await, Some(successor.id));
    assert_eq!(two.keep(&successor).await.map(|grant| grant.token), Some(granted.token));
    two.release(&successor).await;
    lab.until_empty().await;
}

async fn asking_for_a_loss_that_happened_answers_at_once(lab: Arc<Lab>) {
    let (locks, operator) = (lab.client().await, lab.client().await);
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    assert!(guard.lost().now_or_never().is_none(), "nothing is lost yet");
    let holder = operator.inspect("a").await.unwrap().holders.remove(0);
    operator.break_claim(&holder.claim).await.unwrap();
    let loss = seen_loss(&lab, &guard).await;
    for _ in 0..2 {
        assert_eq!(guard.lost().now_or_never(), Some(loss), "it answers at once, and always the same");
    }
    assert_eq!(guard.state(), LeaseState::Lost(loss));
    assert_eq!(guard.remaining(), Duration::ZERO);
    let ran = guard.run(async { 7 }).now_or_never().expect("nothing is waited for");
    assert_eq!(ran.unwrap_err().kind(), ErrorKind::Lost);
    drop(guard);
    lab.until_empty().await;
}

async fn an_ordinary_release_is_not_a_loss(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let lock = locks.owner("one").lock("a").unwrap();
    let (outer, inner) = (lock.acquire().await.unwrap(), lock.acquire().await.unwrap());
    inner.release().await.expect("a release is not a loss");
    until_renewed(&lab, 1).await;
    assert!(outer.lost().now_or_never().is_none(), "the release of an inner hold is not a loss");
    assert_eq!(outer.state(), LeaseState::Held);
    outer.release().await.expect("a release is not a loss");
    let again = lock.acquire().await.expect("nothing was lost");
    again.release().await.expect("a release is not a loss");
    lab.until_empty().await;
}

async fn a_holder_knows_of_its_loss_before_the_server_regrants(lab: Arc<Lab>) {
    let (locks, faults) = lab.faulty_client().await;
    let rival = lab.client().await;
    let ttl = lab.info().ttl.clamp(lab.ttl() * 2);
    // Answers are slow, so that it matters from when a life is counted.
    faults.delay_answers(ttl * 2 / 5);
    let guard = locks.lock("a").unwrap().with_ttl(ttl).unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&rival, &rival.lock("a").unwrap()).await;
    faults.lose_renewals(usize::MAX);
    let next = lab.soon("the server regrants", waiting).await.unwrap().unwrap();
    assert!(!guard.is_held(), "two believe that they hold: {guard:?} and {next:?}");
    assert!(next.is_held());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(next.is_held());
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_ttl_out_of_bounds_is_refused_or_clamped(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let (bounds, tick) = (lab.info().ttl, Duration::from_nanos(1));
    let lock = locks.lock("a").unwrap();
    let outside = [bounds.min.checked_sub(tick), bounds.max.checked_add(tick), Some(Duration::ZERO)];
    for ttl in outside.into_iter().flatten() {
        let Err(error) = lock.clone().with_ttl(ttl) else { panic!("a ttl of {ttl:?} is taken") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for bound in [bounds.min, bounds.max] {
            assert!(error.to_string().contains(&format!("{bound:?}")), "{bound:?} is not named: {error}");
        }
        let nearest = lock.clone().with_ttl_clamped(ttl).ttl();
        assert!(nearest == bounds.min || nearest == bounds.max, "{ttl:?} became {nearest:?}");
    }
    for ttl in [bounds.min, lab.ttl(), bounds.max] {
        assert_eq!(lock.clone().with_ttl(ttl).expect("it is within bounds").ttl(), ttl);
        assert_eq!(lock.clone().with_ttl_clamped(ttl).ttl(), ttl);
    }
    lock.with_ttl_clamped(lab.ttl()).acquire().await.unwrap().release().await.unwrap();
    lab.until_empty().await;
}

/// Waits until `count` more batches were sent off for renewal.
async fn until_renewed(lab: &Lab, count: usize) {
    let before = lab.requests().count().renewals;
    lab.until("claims are renewed", || async { lab.requests().count().renewals >= before + count }).await;
}

/// Nothing of `a` is renewed any more, or made anew, while `kept` is renewed on.
async fn assert_not_renewed(lab: &Lab, locks: &Locks, kept: &Guard) {
    let before = lab.requests().count();
    until_renewed(lab, 3).await;
    let after = lab.requests().count();
    let (batches, claims) = (after.renewals - before.renewals, after.renewed_claims - before.renewed_claims);
    assert_eq!(claims, batches, "something is renewed that was given up");
    let state = locks.inspect("a").await.unwrap();
    assert!(state.is_free(), "it came back: {state:?}");
    assert!(kept.is_held());
}

/// Waits until the holder sees its loss, for three of its renewals at most.
async fn seen_loss(lab: &Lab, guard: &Guard) -> Loss {
    let renewals = lab.requests().count().renewals;
    lab.until("the loss is seen, or three renewals are answered", || async {
        !guard.is_held() || lab.requests().count().renewals > renewals + 3
    })
    .await;
    guard.lost().now_or_never().expect("the claim is gone, and the holder does not see it")
}
