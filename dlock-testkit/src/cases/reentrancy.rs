//! One owner that holds a name several times over.

use std::sync::Arc;

use dlock_core::{Capability, Clock, ErrorKind, Guard, LeaseState, Locks, Mode};
use futures::FutureExt;
use futures::future::join_all;

use crate::broken::identity::owner_is_the_process;
use crate::broken::losses::Hidden;
use crate::broken::release::ReleaseLeftToLapse;
use crate::broken::renewal::{RenewsNothing, RenewsWithoutPause};
use crate::broken::retry::RetriesWithAFreshId;
use crate::{Case, Lab, Need};

const GROUP: &str = "reentrancy";

pub(super) const CASES: &[Case] = &[
    case!([11, 12] the_name_is_released_with_the_last_hold_and_not_before, needs [], trips on ReleaseLeftToLapse),
    case!([13] the_reentry_limit_is_an_error_and_changes_nothing, needs [], trips on ReleaseLeftToLapse),
    case!([14] a_refused_reentry_leaves_the_hold_as_it_was, needs [Need::Capability(Capability::Shared)],
        trips on RetriesWithAFreshId),
    case!([15] handles_of_one_owner_share_one_claim, needs [], trips on RetriesWithAFreshId),
    case!([16] another_owner_in_the_process_is_excluded, needs [], trips on owner_is_the_process()),
    case!([17] reentry_after_the_loss_is_an_error, needs [Need::Capability(Capability::Break)],
        trips on Hidden::default()),
    case!([18] releasing_an_inner_hold_keeps_the_lease_renewed, needs [Need::TtlLife],
        trips on RenewsNothing::default()),
    case!([19] concurrent_first_acquires_of_one_owner_make_one_claim, needs [], trips on RetriesWithAFreshId),
    case!([20] reentry_makes_no_request, needs [], trips on RenewsWithoutPause),
];

async fn the_name_is_released_with_the_last_hold_and_not_before(lab: Arc<Lab>) {
    let (locks, rival) = (lab.lasting_client().await, lab.lasting_client().await);
    let (owner, rival) = (locks.owner("one"), rival.lock("a").unwrap());
    let mut guards: Vec<Guard> = Vec::new();
    for count in 1..=4 {
        guards.push(owner.lock("a").unwrap().acquire().await.unwrap());
        assert!(guards.iter().all(|guard| guard.hold_count() == count), "all guards see {count} holds");
    }
    while let Some(guard) = guards.pop() {
        assert!(rival.try_acquire().await.unwrap().is_none(), "{} holds are left", guards.len() + 1);
        guard.release().await.unwrap();
        let left = u32::try_from(guards.len()).unwrap();
        assert!(guards.iter().all(|guard| guard.is_held() && guard.hold_count() == left));
    }
    rival.try_acquire().await.unwrap().expect("the last hold was released").release().await.unwrap();
    let again = owner.lock("a").unwrap().acquire().await.unwrap();
    assert_eq!(again.hold_count(), 1, "counting starts over");
    again.release().await.unwrap();
    lab.until_empty().await;
}

async fn the_reentry_limit_is_an_error_and_changes_nothing(lab: Arc<Lab>) {
    let locks = lab.client_with(|builder| builder.max_holds(2).ttl(lab.long_ttl())).await;
    let lock = locks.owner("one").lock("a").unwrap();
    let (outer, inner) = (lock.acquire().await.unwrap(), lock.acquire().await.unwrap());
    let before = (outer.token().unwrap(), lab.requests().count().requests);
    for _ in 0..3 {
        assert_eq!(lock.acquire().await.unwrap_err().kind(), ErrorKind::ReentryLimit);
        assert_eq!(lock.try_acquire().await.unwrap_err().kind(), ErrorKind::ReentryLimit);
    }
    assert_eq!((outer.token().unwrap(), lab.requests().count().requests), before);
    assert_eq!(outer.hold_count(), 2);
    inner.release().await.unwrap();
    let inner = lock.acquire().await.expect("there is room for one more again");
    inner.release().await.unwrap();
    outer.release().await.unwrap();
    let rival = locks.lock("a").unwrap().try_acquire().await.unwrap();
    rival.expect("what was refused counts for nothing: the name is free").release().await.unwrap();
    lab.until_empty().await;
}

async fn a_refused_reentry_leaves_the_hold_as_it_was(lab: Arc<Lab>) {
    let locks = lab.lasting_client().await;
    let owner = locks.owner("one");
    let lock = owner.rw_lock("a").unwrap();
    let writer = lock.write().acquire().await.unwrap();
    let token = writer.token().unwrap();
    assert_eq!(lock.read().acquire().await.unwrap_err().kind(), ErrorKind::OtherMode);
    assert_eq!(lock.read().try_acquire().await.unwrap_err().kind(), ErrorKind::OtherMode);
    assert!(writer.is_held());
    assert_eq!((writer.token().unwrap(), writer.mode(), writer.hold_count()), (token, Mode::Exclusive, 1));
    assert_one_claim(&locks, &writer).await;
    let inner = lock.write().acquire().await.expect("the same mode is fine");
    assert_eq!(inner.hold_count(), 2);
    drop((inner, writer));
    lab.until_empty().await;
}

async fn handles_of_one_owner_share_one_claim(lab: Arc<Lab>) {
    let locks = lab.lasting_client().await;
    let owner = locks.owner("one");
    let first = owner.lock("a").unwrap().acquire().await.unwrap();
    let second = owner.clone().lock("a").unwrap().try_acquire().await.unwrap().expect("its owner holds it");
    assert_eq!(first.token().unwrap(), second.token().unwrap());
    assert_eq!(first.lease().unwrap().claim, second.lease().unwrap().claim);
    assert_one_claim(&locks, &first).await;
    first.release().await.unwrap();
    assert!(second.is_held());
    assert_one_claim(&locks, &second).await;
    second.release().await.unwrap();
    lab.until_empty().await;
}

async fn another_owner_in_the_process_is_excluded(lab: Arc<Lab>) {
    let (locks, others) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = locks.owner("one").lock("a").unwrap().acquire().await.unwrap();
    for (what, rival) in [
        ("another owner", locks.owner("two").lock("a").unwrap()),
        ("a plain lock", locks.lock("a").unwrap()),
        ("an owner of another client", others.owner("three").lock("a").unwrap()),
    ] {
        assert!(rival.try_acquire().await.unwrap().is_none(), "{what} got in");
    }
    let plain = locks.lock("b").unwrap();
    let first = plain.acquire().await.unwrap();
    assert!(plain.try_acquire().await.unwrap().is_none(), "each acquire of a plain lock is an owner of its own");
    drop((guard, first));
    lab.until_empty().await;
}

async fn reentry_after_the_loss_is_an_error(lab: Arc<Lab>) {
    let (locks, operator) = (lab.client().await, lab.client().await);
    let lock = locks.owner("one").lock("a").unwrap();
    let guard = lock.acquire().await.unwrap();
    let holder = operator.inspect("a").await.unwrap().holders.remove(0);
    let renewals = lab.requests().count().renewals;
    operator.break_claim(&holder.claim).await.unwrap();
    lab.until("the loss is seen, or three renewals are answered", || async {
        !guard.is_held() || lab.requests().count().renewals > renewals + 3
    })
    .await;
    assert!(!guard.is_held(), "the claim was broken, and the holder does not see it");
    for _ in 0..2 {
        assert_eq!(lock.acquire().await.unwrap_err().kind(), ErrorKind::Lost);
        assert_eq!(lock.try_acquire().await.unwrap_err().kind(), ErrorKind::Lost);
    }
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    let anew = lock.acquire().await.expect("with the last lost guard gone, the owner may start over");
    assert!(anew.is_held());
    anew.release().await.unwrap();
    lab.until_empty().await;
}

async fn releasing_an_inner_hold_keeps_the_lease_renewed(lab: Arc<Lab>) {
    let (locks, rival) = (lab.client().await, lab.client().await);
    let (lock, clock) = (locks.owner("one").lock("a").unwrap(), Clock::system());
    let (outer, inner) = (lock.acquire().await.unwrap(), lock.acquire().await.unwrap());
    inner.release().await.unwrap();
    let until = clock.now() + lab.takeover() * 2;
    while clock.now() < until {
        assert!(rival.lock("a").unwrap().try_acquire().await.unwrap().is_none(), "the lease ran out");
        assert!(outer.is_held());
        clock.sleep(lab.ttl() / 5).await;
    }
    assert_eq!(outer.state(), LeaseState::Held);
    outer.release().await.unwrap();
    lab.until_empty().await;
}

async fn concurrent_first_acquires_of_one_owner_make_one_claim(lab: Arc<Lab>) {
    let locks = lab.lasting_client().await;
    let owner = locks.owner("one");
    let acquires = (0..20).map(|_| {
        let lock = owner.lock("a").unwrap();
        tokio::spawn(async move { lock.acquire().await.unwrap() })
    });
    let guards: Vec<Guard> = join_all(acquires).await.into_iter().map(|guard| guard.unwrap()).collect();
    let token = guards[0].token().unwrap();
    assert!(guards.iter().all(|guard| guard.token().unwrap() == token && guard.hold_count() == 20));
    assert_eq!(lab.requests().count().requests, 1);
    assert_one_claim(&locks, &guards[0]).await;
    drop(guards);
    lab.until_empty().await;
}

async fn reentry_makes_no_request(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let (lock, clock) = (locks.owner("one").lock("a").unwrap(), Clock::system());
    let outer = lock.acquire().await.unwrap();
    let (before, begun) = (lab.requests().count(), clock.now());
    let mut entries = 0;
    while clock.now().since(begun) < lab.ttl() {
        for _ in 0..100 {
            let inner = lock.acquire().now_or_never().expect("a re-entry never waits").unwrap();
            inner.release().now_or_never().expect("the release of an inner hold never waits").unwrap();
            entries += 1;
        }
        tokio::task::yield_now().await;
    }
    let after = lab.requests().count();
    let others = |count: crate::Count| (count.requests, count.withdrawals, count.others);
    assert_eq!(others(after), others(before), "{entries} re-entries");
    // The outer hold is renewed every third of the ttl, re-entered or not.
    let thirds = clock.now().since(begun).as_millis() * 3 / lab.ttl().as_millis();
    let renewals = after.renewals - before.renewals;
    assert!(renewals as u128 <= thirds * 2 + 2, "{renewals} renewals for {entries} re-entries");
    outer.release().await.unwrap();
    lab.until_empty().await;
}

/// The service shows the guard's claim, and no other.
async fn assert_one_claim(locks: &Locks, guard: &Guard) {
    let state = locks.inspect(guard.name()).await.unwrap();
    let shown: Vec<_> = state.holders.iter().map(|holder| (holder.claim.id, holder.token)).collect();
    assert_eq!(shown, [(guard.lease().unwrap().claim, Some(guard.token().unwrap()))]);
    assert!(state.waiters.is_empty(), "{:?}", state.waiters);
}
