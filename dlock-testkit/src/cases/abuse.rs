//! Durations out of any bounds, closed clients, spoilt entries, and too much at once.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{ErrorKind, Locks, NamePrefix, Page, Withdrawn};
use futures::future::{join_all, poll_immediate};

use crate::broken::cleanup::CancelForgotten;
use crate::broken::life::BoundsUndeclared;
use crate::broken::storing::{ConnectionForEachClaim, DamageSweptAway, GoneLooksAlive};
use crate::{Case, Lab, Need};

const GROUP: &str = "abuse";

pub(super) const CASES: &[Case] = &[
    case!([77] durations_out_of_bounds_are_refused_or_clamped_and_endless_ones_work, needs [], trips on BoundsUndeclared),
    case!([78] use_after_close_is_an_error_and_leaves_nothing, needs [], trips on CancelForgotten),
    case!([79] what_cannot_be_parsed_blocks_its_name_until_it_is_broken, needs [Need::Tamper],
        trips on DamageSweptAway),
    case!([79] a_claim_that_is_overwritten_is_a_loss, needs [Need::Tamper], trips on GoneLooksAlive::default()),
    case!([79] a_claim_that_is_deleted_is_a_loss_and_frees_its_name, needs [Need::Tamper],
        trips on GoneLooksAlive::default()),
    case!([80] ten_thousand_acquires_at_once_are_all_served, needs [], trips on ConnectionForEachClaim::default()),
];

async fn durations_out_of_bounds_are_refused_or_clamped_and_endless_ones_work(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let bounds = lab.info().ttl;
    for ttl in [Duration::ZERO, Duration::from_nanos(1), bounds.min - Duration::from_nanos(1), Duration::MAX] {
        let error = locks.lock("a").unwrap().with_ttl(ttl).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("{:?}", bounds.min)), "the bounds are named: {error}");
        let clamped = locks.lock("a").unwrap().with_ttl_clamped(ttl);
        assert!((bounds.min..=bounds.max).contains(&clamped.ttl()));
        let guard = lab.soon("a clamped ttl can be held", clamped.acquire()).await.unwrap();
        guard.release().await.unwrap();
    }
    let patient = lab.client_with(|builder| builder.max_hold_time(Duration::MAX).retry_for(Duration::MAX)).await;
    let guard = patient.lock("a").unwrap().acquire_within(Duration::MAX).await.unwrap().expect("the name is free");
    assert!(locks.lock("a").unwrap().acquire_within(Duration::ZERO).await.unwrap().is_none());
    assert!(locks.lock("a").unwrap().acquire_within(Duration::from_nanos(1)).await.unwrap().is_none());
    let lock = locks.lock("a").unwrap();
    let waiting = tokio::spawn(async move { lock.acquire_within(Duration::MAX).await });
    lab.until("one waits", || async { patient.inspect("a").await.unwrap().waiters.len() == 1 }).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
    let next = lab.soon("an endless wait ends", waiting).await.unwrap().unwrap().expect("its turn came");
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn use_after_close_is_an_error_and_leaves_nothing(lab: Arc<Lab>) {
    let (closing, other) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = other.lock("a").unwrap().acquire().await.unwrap();
    let (lock, owner) = (closing.lock("a").unwrap(), closing.owner("late"));
    let mut waiting = Box::pin(lock.acquire());
    assert!(poll_immediate(&mut waiting).await.is_none());
    lab.until_waiting(&other, "a", 1).await;

    closing.close().await.unwrap();
    let closed = |answer: Result<(), dlock_core::Error>| {
        assert_eq!(answer.expect_err("the client is closed").kind(), ErrorKind::Closed);
    };
    closed(lab.soon("the waiter is told", waiting).await.map(drop));
    closed(lock.acquire().await.map(drop));
    closed(lock.try_acquire().await.map(drop));
    closed(lock.acquire_within(Duration::from_secs(1)).await.map(drop));
    closed(owner.lock("b").unwrap().acquire().await.map(drop));
    closed(closing.lock("b").unwrap().try_acquire().await.map(drop));
    closed(closing.inspect("a").await.map(drop));
    closed(closing.list(NamePrefix::root(), Page::first()).await.map(drop));
    closed(closing.health().await.map(drop));
    closed(closing.break_claim(&other.inspect("a").await.unwrap().holders[0].claim).await.map(drop));
    closing.close().await.unwrap();

    assert!(guard.is_held());
    lab.until_waiting(&other, "a", 0).await;
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn what_cannot_be_parsed_blocks_its_name_until_it_is_broken(lab: Arc<Lab>) {
    let (one, two) = (lab.client().await, lab.client().await);
    let name = "a".parse().unwrap();
    lab.tamper().damage(lab.namespace(), &name).await;
    for locks in [&one, &two] {
        let lock = locks.lock(&name).unwrap();
        for answer in [lab.soon("an answer", lock.acquire()).await.map(Some), lock.try_acquire().await] {
            let error = answer.expect_err("the name is blocked");
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        }
    }
    let state = one.inspect(&name).await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len(), state.damaged.len()), (0, 0, 1), "{state:?}");
    let elsewhere = one.lock("b").unwrap().try_acquire().await.unwrap();
    elsewhere.expect("no other name is blocked").release().await.unwrap();

    let damaged = &state.damaged[0];
    let other = dlock_core::DamagedEntry { fingerprint: "something else".into(), ..damaged.clone() };
    assert!(!matches!(two.clear_damage(&name, &other).await, Ok(Withdrawn::Removed)), "only what was seen is removed");
    assert_eq!(one.inspect(&name).await.unwrap().damaged.len(), 1);
    assert_eq!(two.clear_damage(&name, damaged).await.unwrap(), Withdrawn::Removed);
    let guard = lab.soon("the name is free", one.lock(&name).unwrap().acquire()).await.unwrap();
    assert!(two.lock(&name).unwrap().try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_claim_that_is_overwritten_is_a_loss(lab: Arc<Lab>) {
    let (one, two) = (lab.client().await, lab.client().await);
    let name = "a".parse().unwrap();
    let guard = one.lock(&name).unwrap().acquire().await.unwrap();
    lab.tamper().damage(lab.namespace(), &name).await;
    lab.soon("the holder is told", guard.lost()).await;
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);

    lab.until("the damage can be cleared", || async {
        for damaged in two.inspect(&name).await.unwrap().damaged {
            two.clear_damage(&name, &damaged).await.unwrap();
        }
        two.inspect(&name).await.unwrap().is_free()
    })
    .await;
    let guard = lab.soon("the name is free", two.lock(&name).unwrap().acquire()).await.unwrap();
    assert!(one.lock(&name).unwrap().try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_claim_that_is_deleted_is_a_loss_and_frees_its_name(lab: Arc<Lab>) {
    let (one, two) = (lab.client().await, lab.client().await);
    let name = "a".parse().unwrap();
    let guard = one.lock(&name).unwrap().acquire().await.unwrap();
    let waiting = tokio::spawn(acquire_and_release(two.clone()));
    lab.until_waiting(&one, "a", 1).await;
    lab.tamper().delete(lab.namespace(), &name).await;
    lab.soon("the holder is told", guard.lost()).await;
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    // Its own entry was deleted too: it has to stand in line anew.
    lab.soon("the waiter is served", waiting).await.unwrap();
    lab.until_empty().await;
}

async fn ten_thousand_acquires_at_once_are_all_served(lab: Arc<Lab>) {
    let locks = lab.client_with(|builder| builder.ttl(lab.long_ttl()).retry_for(Duration::from_secs(120))).await;
    let all = (0..10_000).map(|i| {
        let lock = locks.lock(format!("a{}", i % 100)).unwrap();
        tokio::spawn(async move {
            let guard = lock.acquire().await?;
            guard.release().await
        })
    });
    for served in join_all(all).await {
        served.unwrap().unwrap();
    }
    lab.until_empty().await;
}

async fn acquire_and_release(locks: Locks) {
    let guard = locks.lock("a").unwrap().acquire().await.unwrap();
    guard.release().await.unwrap();
}
