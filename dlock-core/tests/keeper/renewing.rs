//! Keeping what is held.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dlock_core::memory::{Memory, Network};
use dlock_core::{ErrorKind, LeaseState, Loss, Namespace, Renewal};
use tokio::time::{sleep, timeout};

use crate::scripted::{Call, Fate};
use crate::world::{World, acquire, millis, seconds};

#[tokio::test(start_paused = true)]
async fn one_lost_renewal_loses_no_lease_although_its_timeout_is_long() {
    let world = World::new();
    let network = Network::perfect().timeout(seconds(5));
    let link = network.link();
    let backend = Memory::on(&world.store).over(network);
    let locks = world.builder(backend).ttl(seconds(6)).connect().await.unwrap();
    let guard = acquire(&locks).await;
    sleep(millis(1990)).await;
    link.cut();
    sleep(millis(30)).await;
    link.heal();
    sleep(seconds(6)).await;
    assert!(guard.is_held(), "30 ms of outage: {guard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_does_not_keep_the_next_one_waiting() {
    let world = World::new();
    let (locks, calls) = world
        .scripted(seconds(6), |call, nth| match call {
            Call::Renew if nth == 1 => Fate::DelayReply(seconds(3600)),
            _ => Fate::Pass,
        })
        .await;
    let guard = acquire(&locks).await;
    sleep(seconds(60)).await;
    assert_eq!(guard.state(), LeaseState::Held);
    let renewals = calls.count(Call::Renew);
    assert!((20..60).contains(&renewals), "{renewals} renewals in ten ttls");
}

#[tokio::test(start_paused = true)]
async fn a_life_that_does_not_advance_is_not_asked_for_in_a_spin() {
    let world = World::new();
    let first_life = Arc::new(OnceLock::new());
    let (locks, calls) = world
        .scripted(seconds(6), move |call, _| {
            let first_life = first_life.clone();
            match call {
                Call::Renew => Fate::TwistRenewal(Box::new(move |answer| match answer {
                    Renewal::Alive { life, grant, recheck } => {
                        Renewal::Alive { life: *first_life.get_or_init(|| life), grant, recheck }
                    }
                    gone => gone,
                })),
                _ => Fate::Pass,
            }
        })
        .await;
    let guard = acquire(&locks).await;
    let loss = timeout(seconds(60), guard.lost()).await.expect("it is not believed for longer than it lives");
    assert_eq!(loss, Loss::Deadline);
    let renewals = calls.count(Call::Renew);
    assert!((5..40).contains(&renewals), "{renewals} renewals of one life");
}

#[tokio::test(start_paused = true)]
async fn a_recheck_of_zero_is_not_taken_at_its_word() {
    let world = World::new();
    let (locks, calls) = world
        .scripted(seconds(30), |call, _| match call {
            Call::Renew => Fate::TwistRenewal(Box::new(|answer| match answer {
                Renewal::Alive { life, grant, .. } => Renewal::Alive { life, grant, recheck: Some(Duration::ZERO) },
                gone => gone,
            })),
            _ => Fate::Pass,
        })
        .await;
    let guard = acquire(&locks).await;
    sleep(seconds(10)).await;
    let before = calls.count(Call::Renew);
    sleep(seconds(1)).await;
    let renewals = calls.count(Call::Renew) - before;
    assert!(guard.is_held());
    assert!((100..700).contains(&renewals), "{renewals} renewals in a second");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_no_longer_told_as_data() {
    let world = World::new();
    let guard = acquire(&world.client(seconds(3)).await).await;
    let lease = guard.lease().unwrap();
    assert!(lease.valid_until.is_some_and(|until| until > world.clock.now()));
    world.store.delete(&Namespace::default(), guard.name());
    assert_eq!(timeout(seconds(60), guard.lost()).await.expect("a renewal finds out"), Loss::Gone);
    assert!(lease.valid_until.is_some_and(|until| until > world.clock.now()), "it is lost before its deadline");
    assert_eq!(guard.lease().unwrap_err().kind(), ErrorKind::Lost);
}
