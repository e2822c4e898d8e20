//! Many at once: exclusion, order, dead waiters, lost notifications, and what it costs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock_core::{Capability, Guard, Lock};
use futures::future::{join_all, poll_immediate, try_join_all};

use crate::broken::cleanup::OrphansLiveOn;
use crate::broken::lives::WaitsForTheDeadAgain;
use crate::broken::losses::RenewsTheDead;
use crate::broken::waking::{
    LetsSomeIn, RenewalsHideGrants, RenewsSingly, ServesTheNewestFirst, SomeAreForgotten, WaitersPoll,
};
use crate::{Case, Lab, Need};

const GROUP: &str = "contention";
const FIFO: Need = Need::Capability(Capability::Fifo);
const PUSH: Need = Need::Capability(Capability::Push);

pub(super) const CASES: &[Case] = &[
    case!([45] a_hundred_tasks_over_three_clients_never_hold_together, needs [], trips on LetsSomeIn::default()),
    case!([46] everybody_acquires_again_and_again, needs [], trips on SomeAreForgotten::default()),
    case!([47] grants_follow_arrival_over_all_clients, needs [FIFO], trips on ServesTheNewestFirst::default()),
    case!([48] a_dead_waiter_is_skipped, needs [], trips on RenewsTheDead::default()),
    case!([49] a_dead_waiter_does_not_delay_the_next_ones_again_and_again, needs [],
        trips on WaitsForTheDeadAgain::default()),
    case!([50] waiting_and_handing_over_cost_no_requests_but_the_releases, needs [PUSH], trips on WaitersPoll),
    case!([51] a_grant_whose_notification_got_lost_is_found_by_the_renewal, needs [], trips on RenewalsHideGrants),
    case!([52] a_thousand_locks_are_renewed_in_a_few_requests, needs [Need::TtlLife], trips on RenewsSingly),
    case!([52] a_grant_that_nobody_collects_is_withdrawn, needs [], trips on OrphansLiveOn::default()),
];

async fn a_hundred_tasks_over_three_clients_never_hold_together(lab: Arc<Lab>) {
    let clients = [lab.lasting_client().await, lab.lasting_client().await, lab.lasting_client().await];
    let (inside, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks = (0..100).map(|i| {
        let (lock, inside, served) = (clients[i % 3].lock("a").unwrap(), inside.clone(), served.clone());
        tokio::spawn(async move {
            let guard = lock.acquire().await.unwrap();
            assert!(!inside.swap(true, Ordering::SeqCst), "two hold at once");
            tokio::task::yield_now().await;
            assert!(guard.is_held());
            assert!(inside.swap(false, Ordering::SeqCst), "two held at once");
            guard.release().await.unwrap();
            served.fetch_add(1, Ordering::SeqCst);
        })
    });
    lab.soon("all are served", try_join_all(tasks)).await.unwrap();
    assert_eq!(served.load(Ordering::SeqCst), 100);
    lab.until_empty().await;
}

async fn everybody_acquires_again_and_again(lab: Arc<Lab>) {
    let clients = [lab.lasting_client().await, lab.lasting_client().await];
    let tasks = (0..10).map(|i| {
        let locks = clients[i % 2].clone();
        tokio::spawn(async move {
            for round in 0..20 {
                let guard = locks.lock(format!("a{}", (round + i) % 2)).unwrap().acquire().await.unwrap();
                tokio::task::yield_now().await;
                // The others are told either way.
                if round % 2 == 0 { guard.release().await.unwrap() } else { drop(guard) }
            }
        })
    });
    lab.soon("everybody is served", try_join_all(tasks)).await.unwrap();
    lab.until_empty().await;
}

async fn grants_follow_arrival_over_all_clients(lab: Arc<Lab>) {
    let clients = [lab.client().await, lab.client().await, lab.client().await];
    let guard = clients[0].lock("a").unwrap().acquire().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for place in 0..9 {
        let (lock, order) = (clients[place % 3].lock("a").unwrap(), order.clone());
        waiting.push(tokio::spawn(async move {
            let guard = lock.acquire().await.unwrap();
            order.lock().unwrap().push(place);
            guard.release().await.unwrap();
        }));
        lab.until_waiting(&clients[0], "a", place + 1).await;
    }
    guard.release().await.unwrap();
    lab.soon("all are served", try_join_all(waiting)).await.unwrap();
    assert_eq!(*order.lock().unwrap(), (0..9).collect::<Vec<_>>());
    lab.until_empty().await;
}

async fn a_dead_waiter_is_skipped(lab: Arc<Lab>) {
    let (holder, behind, doomed) = (lab.client().await, lab.client().await, lab.crashable().await);
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let dead = lab.line_up(&holder, &doomed.locks.lock("a").unwrap()).await;
    let alive = lab.line_up(&holder, &behind.lock("a").unwrap()).await;
    doomed.crash();
    dead.abort();
    guard.release().await.unwrap();
    let next = lab.soon("the one behind the dead is granted", alive).await.unwrap().unwrap();
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_dead_waiter_does_not_delay_the_next_ones_again_and_again(lab: Arc<Lab>) {
    let (holder, behind, doomed) = (lab.client().await, lab.client().await, lab.crashable().await);
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let dead = lab.line_up(&holder, &doomed.locks.lock("a").unwrap()).await;
    // So many that a delay for each would exhaust any patience.
    let so_many = 40;
    let served = (0..so_many).map(|_| tokio::spawn(hold_for_a_moment(behind.lock("a").unwrap())));
    let served: Vec<_> = served.collect();
    lab.until_waiting(&holder, "a", so_many + 1).await;
    doomed.crash();
    dead.abort();
    guard.release().await.unwrap();
    lab.soon("all behind the dead are served", try_join_all(served)).await.unwrap();
    lab.until_empty().await;
}

async fn waiting_and_handing_over_cost_no_requests_but_the_releases(lab: Arc<Lab>) {
    let holder = lab.lasting_client().await;
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let mut waiting = Vec::new();
    for there in 1..=10 {
        let lock = lab.lasting_client().await.lock("a").unwrap();
        waiting.push(tokio::spawn(hold_for_a_moment(lock)));
        lab.until_waiting(&holder, "a", there).await;
    }
    let before = lab.requests().count();
    tokio::time::sleep(lab.ttl()).await;
    guard.release().await.unwrap();
    lab.soon("all are served", try_join_all(waiting)).await.unwrap();
    let after = lab.requests().count();
    assert_eq!(after.requests, before.requests, "nobody had to ask again");
    assert_eq!(after.withdrawals - before.withdrawals, 11, "one release for each holder");
    // A backend may look once more at a claim that it hands over.
    let renewals = after.renewals - before.renewals;
    assert!(renewals <= 11, "{renewals} renewals for 11 holders: a release wakes more than one waiter, or they poll");
    lab.until_empty().await;
}

async fn a_grant_whose_notification_got_lost_is_found_by_the_renewal(lab: Arc<Lab>) {
    let holder = lab.client().await;
    let (deaf, faults) = lab.faulty_client().await;
    faults.lose_events();
    let guard = holder.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&holder, &deaf.lock("a").unwrap()).await;
    guard.release().await.unwrap();
    let found = tokio::time::timeout(lab.patience().max(lab.info().missed_event_bound), waiting);
    let next = found.await.expect("the grant is found within the declared bound").unwrap().unwrap();
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_thousand_locks_are_renewed_in_a_few_requests(lab: Arc<Lab>) {
    let ttl = lab.info().ttl.clamp(lab.ttl() * 6);
    let locks = lab.client_with(|builder| builder.ttl(ttl)).await;
    let held = (0..1000).map(|i| {
        let lock = locks.lock(format!("n{i}")).unwrap();
        async move { lock.acquire().await.unwrap() }
    });
    let guards: Vec<Guard> = lab.soon("all are held", join_all(held)).await;
    let before = lab.requests().count();
    tokio::time::sleep(ttl).await;
    let after = lab.requests().count();
    let (renewals, renewed) = (after.renewals - before.renewals, after.renewed_claims - before.renewed_claims);
    assert!(renewed >= 2000, "each is renewed at least twice in a ttl: {renewed}");
    assert!(renewals <= 60, "{renewals} requests for {renewed} renewals");
    assert!(guards.iter().all(Guard::is_held), "none is lost");
    drop(guards);
    lab.until_empty().await;
}

async fn a_grant_that_nobody_collects_is_withdrawn(lab: Arc<Lab>) {
    let (one, two) = (lab.client().await, lab.client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let lock = two.lock("a").unwrap();
    let mut neglected = Box::pin(lock.acquire());
    assert!(poll_immediate(&mut neglected).await.is_none());
    lab.until_waiting(&one, "a", 1).await;
    guard.release().await.unwrap();
    let next = lab.soon("the next one is granted", one.lock("a").unwrap().acquire()).await.unwrap();
    next.release().await.unwrap();
    let late = lab.soon("who comes back stands in line again", neglected).await.unwrap();
    assert!(late.is_held());
    late.release().await.unwrap();
    lab.until_empty().await;
}

async fn hold_for_a_moment(lock: Lock) {
    let guard = lock.acquire().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    guard.release().await.unwrap();
}
