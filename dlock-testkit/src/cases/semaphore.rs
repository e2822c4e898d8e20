//! Permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dlock_core::{Capability, ErrorKind, Guard};
use futures::future::join_all;

use crate::broken::losses::RenewsTheDead;
use crate::broken::permits::{OneTooMany, RefusesTooLate, TakesTheLimitInUse, WaitsForItsNeighbour};
use crate::{Case, Lab, Need};

const GROUP: &str = "semaphore";
const PERMITS: Need = Need::Capability(Capability::Permits);
const FIFO: Need = Need::Capability(Capability::Fifo);

pub(super) const CASES: &[Case] = &[
    case!([93] a_try_beyond_the_limit_is_refused, needs [PERMITS], trips on OneTooMany),
    case!([93] never_more_holders_than_permits, needs [PERMITS], trips on OneTooMany),
    case!([94] a_dead_holders_permit_is_granted_on, needs [PERMITS], trips on RenewsTheDead::default()),
    case!([95] a_claim_with_another_limit_is_refused, needs [PERMITS], trips on TakesTheLimitInUse),
    case!([95] a_claim_with_another_limit_disturbs_nobody, needs [PERMITS], trips on RefusesTooLate),
    case!([95] a_permit_that_leaves_out_of_order_admits_the_next, needs [PERMITS, FIFO],
        trips on WaitsForItsNeighbour::default()),
];

async fn a_try_beyond_the_limit_is_refused(lab: Arc<Lab>) {
    let clients = [lab.lasting_client().await, lab.lasting_client().await, lab.lasting_client().await];
    let semaphores = clients.each_ref().map(|client| client.semaphore("a", 3).unwrap());
    let mut permits = Vec::new();
    for semaphore in &semaphores {
        permits.push(semaphore.try_acquire().await.unwrap().expect("a permit is free"));
    }
    for semaphore in &semaphores {
        assert!(semaphore.try_acquire().await.unwrap().is_none(), "a fourth of three permits");
    }
    permits.swap_remove(0).release().await.unwrap();
    permits.push(semaphores[0].try_acquire().await.unwrap().expect("a permit is free again"));
    assert!(semaphores[1].try_acquire().await.unwrap().is_none(), "a fourth of three permits");
    for permit in permits {
        permit.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn never_more_holders_than_permits(lab: Arc<Lab>) {
    let clients = [lab.lasting_client().await, lab.lasting_client().await];
    let inside = Arc::new(AtomicU32::new(0));
    let tasks = (0..24).map(|n| {
        let (semaphore, inside) = (clients[n % 2].semaphore("a", 3).unwrap(), inside.clone());
        tokio::spawn(async move {
            let permit = semaphore.acquire().await.unwrap();
            let together = inside.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(together <= 3, "{together} hold one of 3 permits");
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(permit.is_held());
            inside.fetch_sub(1, Ordering::SeqCst);
            permit.release().await.unwrap();
        })
    });
    for task in lab.soon("everybody gets a permit", join_all(tasks)).await {
        task.unwrap();
    }
    lab.until_empty().await;
}

async fn a_dead_holders_permit_is_granted_on(lab: Arc<Lab>) {
    let (doomed, one) = (lab.crashable().await, lab.client().await);
    let lost = doomed.locks.semaphore("a", 2).unwrap().acquire().await.unwrap();
    let semaphore = one.semaphore("a", 2).unwrap();
    let kept = semaphore.acquire().await.unwrap();
    let waiting = lab.line_up(&one, semaphore.as_lock()).await;
    doomed.crash();
    let heir = lab.soon("the dead client's permit is granted on", waiting).await.unwrap().unwrap();
    assert!(kept.is_held());
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    drop(lost);
    kept.release().await.unwrap();
    heir.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_claim_with_another_limit_is_refused(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let semaphore = one.semaphore("a", 2).unwrap();
    let permit = semaphore.acquire().await.unwrap();
    for limit in [1, 3] {
        let other = two.semaphore("a", limit).unwrap();
        assert_eq!(other.try_acquire().await.unwrap_err().kind(), ErrorKind::Mismatch);
        let refused = lab.soon("a wrong limit is refused at once", other.acquire()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Mismatch);
        assert!(refused.to_string().contains("permit of 2"), "{refused}");
    }
    permit.release().await.unwrap();
    let other = two.semaphore("a", 3).unwrap().acquire().await.unwrap();
    other.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_claim_with_another_limit_disturbs_nobody(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let semaphore = one.semaphore("a", 2).unwrap();
    let (first, second) = (semaphore.acquire().await.unwrap(), semaphore.acquire().await.unwrap());
    let waiting = lab.line_up(&one, semaphore.as_lock()).await;
    let refused = lab.soon("a wrong limit is refused at once", two.semaphore("a", 3).unwrap().acquire()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Mismatch);
    let state = one.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (2, 1));
    first.release().await.unwrap();
    let third = lab.soon("the waiter is served", waiting).await.unwrap().unwrap();
    assert!(second.is_held() && third.is_held());
    second.release().await.unwrap();
    third.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_permit_that_leaves_out_of_order_admits_the_next(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let (here, there) = (one.semaphore("a", 2).unwrap(), two.semaphore("a", 2).unwrap());
    let oldest = here.acquire().await.unwrap();
    let newest = there.acquire().await.unwrap();
    let waiting = lab.line_up(&one, there.as_lock()).await;
    let behind = lab.line_up(&one, here.as_lock()).await;
    // The waiter's neighbour in the line stays, the one before that leaves.
    oldest.release().await.unwrap();
    let third: Guard = lab.soon("the first waiter is served", waiting).await.unwrap().unwrap();
    assert_eq!(one.inspect("a").await.unwrap().waiters.len(), 1);
    newest.release().await.unwrap();
    let fourth = lab.soon("the second waiter is served", behind).await.unwrap().unwrap();
    third.release().await.unwrap();
    fourth.release().await.unwrap();
    lab.until_empty().await;
}
