//! Whose claim is whose.

use std::sync::Arc;

use dlock_core::{Capability, ErrorKind, Why, Withdrawn};

use crate::broken::identity::owner_is_the_label;
use crate::broken::release::{ReleaseAlwaysSucceeds, ReleaseByName, ReleaseLeftToLapse};
use crate::cases::by_hand::{ByHand, claim, lasting_claim};
use crate::{Case, Lab, Need};

const GROUP: &str = "identity";

pub(super) const CASES: &[Case] = &[
    case!([21] releasing_what_is_not_held_is_reported, needs [], trips on ReleaseAlwaysSucceeds),
    case!([22] nobody_can_release_another_owners_claim, needs [], trips on ReleaseByName),
    case!([23] a_hold_moves_with_its_guard_across_tasks_and_threads, needs [], trips on ReleaseLeftToLapse),
    case!([24] a_release_after_expiry_never_frees_the_successor, needs [Need::TtlLife], trips on ReleaseByName),
    case!([25] a_release_after_a_break_never_frees_the_successor, needs [Need::Capability(Capability::Break)],
        trips on ReleaseByName),
    case!([26] equal_labels_are_still_two_owners, needs [], trips on owner_is_the_label()),
];

async fn releasing_what_is_not_held_is_reported(lab: Arc<Lab>) {
    let one = ByHand::client(&lab).await;
    let (held, never) = (lasting_claim(&lab, "a"), lasting_claim(&lab, "a"));
    one.release_again(&never).await;
    one.hold(&held).await;
    one.release_again(&never).await;
    one.release(&held).await;
    one.release_again(&held).await;
    one.close().await;

    let locks = lab.lasting_client().await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let closing = tokio::spawn(async move { locks.close().await });
    lab.soon("the guard is lost with its client", guard.lost()).await;
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    lab.soon("the client is closed", closing).await.unwrap().unwrap();
    lab.until_empty().await;
}

async fn nobody_can_release_another_owners_claim(lab: Arc<Lab>) {
    let locks = lab.lasting_client().await;
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    let stranger = ByHand::client(&lab).await;
    let foreign = lasting_claim(&lab, "a");
    for why in [Why::Release, Why::Cancel] {
        assert_eq!(stranger.withdraw(&foreign, why).await, Withdrawn::Absent);
    }
    assert_eq!(stranger.holder("a").await, Some(guard.lease().unwrap().claim), "a stranger released the claim");
    assert!(locks.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_hold_moves_with_its_guard_across_tasks_and_threads(lab: Arc<Lab>) {
    let (locks, rival) = (lab.lasting_client().await, lab.lasting_client().await);
    let owner = locks.owner("one");
    let lock = owner.lock("a").unwrap();
    let guard = tokio::spawn(async move { lock.acquire().await.unwrap() }).await.unwrap();
    let token = guard.token().unwrap();
    // A thread without a runtime of its own.
    let (guard, inner) = tokio::task::spawn_blocking(move || {
        std::thread::spawn(move || {
            assert_eq!(guard.token().unwrap(), token);
            let inner = futures::executor::block_on(owner.lock("a").unwrap().acquire()).unwrap();
            assert_eq!(inner.token().unwrap(), token);
            (guard, inner)
        })
        .join()
        .unwrap()
    })
    .await
    .unwrap();
    tokio::spawn(async move { inner.release().await.unwrap() }).await.unwrap();
    assert!(guard.is_held());
    assert!(rival.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    tokio::task::spawn_blocking(move || {
        std::thread::spawn(move || futures::executor::block_on(guard.release()).unwrap()).join().unwrap();
    })
    .await
    .unwrap();
    let next = rival.lock("a").unwrap().try_acquire().await.unwrap();
    next.expect("it was released, on a thread without a runtime").release().await.unwrap();
    lab.until_empty().await;
}

async fn a_release_after_expiry_never_frees_the_successor(lab: Arc<Lab>) {
    let (one, two) = (ByHand::client(&lab).await, ByHand::client(&lab).await);
    let (first, second) = (claim(&lab, "a"), lasting_claim(&lab, "a"));
    one.hold(&first).await;
    let granted = two.hold(&second).await;
    one.release_again(&first).await;
    assert_eq!(two.holder("a").await, Some(second.id), "the release of an expired claim freed its successor");
    assert_eq!(two.keep(&second).await.map(|grant| grant.token), Some(granted.token));
    two.release(&second).await;
    lab.until_empty().await;
    one.close().await;
    two.close().await;
}

async fn a_release_after_a_break_never_frees_the_successor(lab: Arc<Lab>) {
    let (one, two, operator) = (lab.client().await, lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&operator, &two.lock("a").unwrap()).await;
    let broken = operator.inspect("a").await.unwrap().holders.remove(0).claim;
    assert_eq!(operator.break_claim(&broken).await.unwrap(), Withdrawn::Removed);
    let successor = lab.soon("the next in line is granted", waiting).await.unwrap().unwrap();
    // The holder may have heard of its loss by now, or not: its release is stale either way.
    let _ = guard.release().await;
    let one_more = ByHand::client(&lab).await;
    assert_eq!(one_more.withdraw_ref(&broken, Why::Release).await, Withdrawn::Absent);
    let held = successor.lease().unwrap().claim;
    assert_eq!(one_more.holder("a").await, Some(held), "the release of a broken claim freed its successor");
    assert!(one.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    successor.release().await.unwrap();
    lab.until_empty().await;
}

async fn equal_labels_are_still_two_owners(lab: Arc<Lab>) {
    let one = lab.client_with(|builder| builder.label("worker").ttl(lab.long_ttl())).await;
    let two = lab.client_with(|builder| builder.label("worker").ttl(lab.long_ttl())).await;
    let guard = one.owner("worker").lock("a").unwrap().acquire().await.unwrap();
    for (what, lock) in [
        ("an owner of the same label on the same client", one.owner("worker").lock("a").unwrap()),
        ("an owner of the same label on another client", two.owner("worker").lock("a").unwrap()),
        ("a client of the same label", two.lock("a").unwrap()),
    ] {
        assert!(lock.try_acquire().await.unwrap().is_none(), "{what} got in");
    }
    guard.release().await.unwrap();
    let next = two.owner("worker").lock("a").unwrap().try_acquire().await.unwrap();
    next.expect("the name is free").release().await.unwrap();
    lab.until_empty().await;
}
