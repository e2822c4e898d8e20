//! The two forms of a name: what they cost, what they leave, and whom they grant.

use std::time::{Duration, Instant};

use dlock_core::{ErrorKind, Mode, NamePrefix, Page, Predecessor, Queue, Renewal, Requested, Why, Withdrawn};

use crate::support::{LONG, World, claim, exclusive, permit};

#[tokio::test]
async fn an_uncontended_cycle_is_one_native_pipeline_and_one_script() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    let warm = exclusive("warm");
    client.hold(&warm).await;
    client.release(&warm).await;
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    for _ in 0..10 {
        let claim = exclusive("a");
        client.hold(&claim).await;
        assert_eq!(world.run::<String>(&["TYPE", "dlock:{0}:name:a"]).await, "string");
        client.release(&claim).await;
    }
    for (command, calls) in [("set", 10), ("hincrby", 10), ("evalsha", 10), ("del", 10), ("time", 0), ("eval", 0)] {
        assert_eq!(world.calls(command).await, calls, "{command}");
    }
    assert_eq!(world.keys().await, ["dlock:{0}:tokens"]);
}

#[tokio::test]
async fn a_contended_acquire_is_one_command_and_a_hand_over_one_push() {
    let Some(world) = World::start().await else { return };
    let (one, mut two) = (world.client().await, world.client().await);
    let first = exclusive("a");
    one.hold(&first).await;
    let mut waiting = exclusive("a");
    two.queue(&waiting).await;
    let mut holder = (one, first);
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    for _ in 0..10 {
        holder.0.release(&holder.1).await;
        two.granted(&waiting).await;
        let next = exclusive("a");
        holder.0.queue(&next).await;
        std::mem::swap(&mut holder.0, &mut two);
        (holder.1, waiting) = (waiting, next);
    }
    let (cycles, first_release, unknown_scripts) = (2 * 10, 1, 2);
    assert_eq!(
        world.calls("evalsha").await,
        cycles + first_release + unknown_scripts,
        "it finds that there is a queue"
    );
    assert_eq!(world.calls("publish").await, 10);
    assert_eq!(world.calls("hincrby").await, 10);
}

#[tokio::test]
async fn nothing_is_left_after_the_last_claim() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    for name in ["a", "{0}", "}{", "a b/ü", "*"] {
        let (first, second) = (exclusive(name), exclusive(name));
        client.hold(&first).await;
        client.queue(&second).await;
        assert_eq!(world.keys().await.len(), 4, "three keys of the name, one of the namespace");
        client.release(&first).await;
        client.granted(&second).await;
        client.release(&second).await;
        assert_eq!(world.keys().await, ["dlock:{0}:tokens"], "{name}");
    }
}

#[tokio::test]
async fn a_try_leaves_the_plain_form_and_nothing_behind() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    let held = exclusive("a");
    client.hold(&held).await;
    for _ in 0..2 {
        let requested = client.backend.request(&exclusive("a"), Queue::No).await.unwrap();
        assert_eq!(requested, Requested::Refused);
        assert_eq!(world.run::<String>(&["TYPE", "dlock:{0}:name:a"]).await, "string");
    }
    assert!(client.inspect("a").await.waiters.is_empty());
    client.release(&held).await;
    assert!(client.inspect("a").await.is_free());
}

#[tokio::test]
async fn a_newcomer_cannot_overtake_the_queue() {
    let Some(world) = World::start().await else { return };
    let (mut one, two) = (world.client().await, world.client().await);
    let (held, waiting, late) = (exclusive("a"), exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    one.queue(&waiting).await;
    one.release(&held).await;
    two.queue(&late).await;
    let grant = one.granted(&waiting).await;
    assert_eq!(grant.predecessor, Some(Predecessor::Released));
    let state = two.inspect("a").await;
    assert_eq!(state.holders.iter().map(|info| info.claim.id).collect::<Vec<_>>(), [waiting.id]);
    assert_eq!(state.holders[0].token, Some(grant.token));
    assert_eq!(state.waiters.iter().map(|info| info.claim.id).collect::<Vec<_>>(), [late.id]);
    assert_eq!(state.waiters[0].metadata, late.metadata);
}

#[tokio::test]
async fn readers_behind_a_writer_are_admitted_together() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let readers: Vec<_> = (0..4).map(|_| claim("a", Mode::Shared, LONG)).collect();
    let writer = exclusive("a");
    client.hold(&readers[0]).await;
    client.hold(&readers[1]).await;
    client.queue(&writer).await;
    client.queue(&readers[2]).await;
    client.queue(&readers[3]).await;
    client.release(&readers[0]).await;
    client.release(&readers[1]).await;
    let written = client.granted(&writer).await;
    client.release(&writer).await;
    let third = client.granted(&readers[2]).await;
    let fourth = client.granted(&readers[3]).await;
    assert!(written.token < third.token && third.token < fourth.token);
}

#[tokio::test]
async fn any_permit_that_leaves_admits_the_next() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let permits: Vec<_> = (0..3).map(|_| claim("a", permit(2), LONG)).collect();
    client.hold(&permits[0]).await;
    client.hold(&permits[1]).await;
    client.queue(&permits[2]).await;
    client.release(&permits[1]).await;
    client.granted(&permits[2]).await;
    for strange in [claim("a", permit(3), LONG), claim("a", Mode::Shared, LONG), exclusive("a")] {
        let error = client.backend.request(&strange, Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("in use as permit of 2"), "{error}");
    }
    assert_eq!(client.inspect("a").await.holders.len(), 2);
}

#[tokio::test]
async fn a_downgrade_lets_readers_in_and_keeps_the_token() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    for with_waiter in [false, true] {
        let (writer, reader) = (exclusive("a"), claim("a", Mode::Shared, LONG));
        let grant = client.hold(&writer).await;
        if with_waiter {
            client.queue(&reader).await;
        }
        let converted = client.backend.convert(&writer.to_ref(), Mode::Shared).await.unwrap();
        assert_eq!(converted.token, grant.token);
        let second = if with_waiter { client.granted(&reader).await } else { client.hold(&reader).await };
        assert!(second.token > grant.token);
        client.release(&writer).await;
        client.release(&reader).await;
    }
    let error = client.backend.convert(&exclusive("a").to_ref(), Mode::Shared).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn dead_claims_are_skipped_though_nobody_renews() {
    let Some(world) = World::start().await else { return };
    let (dead, mut alive) = (world.client().await, world.client().await);
    let short = Duration::from_millis(600);
    let (holder, second) = (claim("a", Mode::Exclusive, short), claim("a", Mode::Exclusive, short));
    let (third, fourth) = (exclusive("a"), exclusive("a"));
    dead.hold(&holder).await;
    dead.queue(&second).await;
    alive.queue(&third).await;
    alive.queue(&fourth).await;
    dead.backend.close().await.unwrap();
    let start = Instant::now();
    let grant = alive.granted(&third).await;
    assert_eq!(grant.predecessor, Some(Predecessor::Vanished));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    alive.release(&third).await;
    alive.granted(&fourth).await;
}

#[tokio::test]
async fn a_dead_reader_does_not_hold_up_a_writer_whose_neighbour_left() {
    let Some(world) = World::start().await else { return };
    let (dead, mut alive) = (world.client().await, world.client().await);
    let reader = claim("a", Mode::Shared, Duration::from_millis(600));
    let (other, cancelled, writer) = (claim("a", Mode::Shared, LONG), exclusive("a"), exclusive("a"));
    dead.hold(&reader).await;
    alive.hold(&other).await;
    alive.queue(&cancelled).await;
    alive.queue(&writer).await;
    dead.backend.close().await.unwrap();
    // What the writer watches, the long claims before it, go away: it must learn to watch the dead reader.
    alive.backend.withdraw(&cancelled.to_ref(), Why::Cancel).await.unwrap();
    alive.release(&other).await;
    alive.granted(&writer).await;
}

#[tokio::test]
async fn a_grant_leaves_the_deadline_alone_and_renewal_moves_it() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let (holder, waiter) = (exclusive("a"), claim("a", Mode::Exclusive, Duration::from_secs(60)));
    client.hold(&holder).await;
    client.queue(&waiter).await;
    world.run::<()>(&["ZADD", "dlock:{0}:due:a", "INCR", "-50000", &waiter.id.to_string()]).await;
    client.release(&holder).await;
    client.granted(&waiter).await;
    let left = client.inspect("a").await.holders[0].expires_in.unwrap();
    assert!(left <= Duration::from_secs(10), "the grant gave it {left:?}");
    client.renew(&waiter).await;
    let left = client.inspect("a").await.holders[0].expires_in.unwrap();
    assert!(left > Duration::from_secs(40), "renewed to {left:?}");
}

#[tokio::test]
async fn a_late_renewal_revives_nothing() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    let ttl = Duration::from_millis(300);
    for queued in [false, true] {
        let (late, waiter) = (claim("a", Mode::Exclusive, ttl), claim("a", Mode::Exclusive, ttl));
        client.hold(&late).await;
        if queued {
            client.queue(&waiter).await;
        }
        tokio::time::sleep(ttl + Duration::from_millis(100)).await;
        assert_eq!(client.renew(&late).await, Renewal::Gone(dlock_core::Gone::Absent));
        assert!(client.inspect("a").await.is_free());
    }
}

#[tokio::test]
async fn repeating_a_request_changes_nothing_but_its_life() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    let grant = client.hold(&held).await;
    assert_eq!(client.hold(&held).await, grant);
    client.queue(&waiting).await;
    assert_eq!(client.hold(&held).await, grant);
    client.queue(&waiting).await;
    assert_eq!(client.inspect("a").await.waiters.len(), 1);
    client.release(&held).await;
    let grant = client.granted(&waiting).await;
    assert_eq!(client.hold(&waiting).await, grant);
}

#[tokio::test]
async fn breaking_a_claim_tells_its_owner_and_admits_the_next() {
    let Some(world) = World::start().await else { return };
    let (mut owner, mut next, operator) = (world.client().await, world.client().await, world.client().await);
    for with_waiter in [false, true] {
        let (held, waiting) = (exclusive("a"), exclusive("a"));
        owner.hold(&held).await;
        if with_waiter {
            next.queue(&waiting).await;
        }
        let seen = operator.inspect("a").await.holders.remove(0);
        assert_eq!(operator.backend.withdraw(&seen.claim, Why::Break).await.unwrap(), Withdrawn::Removed);
        owner.gone(&held).await;
        assert_eq!(owner.backend.withdraw(&held.to_ref(), Why::Release).await.unwrap(), Withdrawn::Absent);
        if with_waiter {
            assert_eq!(next.granted(&waiting).await.predecessor, Some(Predecessor::Vanished));
            next.release(&waiting).await;
        }
    }
}

#[tokio::test]
async fn a_thousand_claims_are_renewed_in_few_commands() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    let claims: Vec<_> = (0..1000).map(|i| exclusive(&format!("n/{i}"))).collect();
    for claim in &claims {
        client.hold(claim).await;
    }
    let refs: Vec<_> = claims.iter().map(dlock_core::Claim::to_ref).collect();
    client.backend.renew(&refs[..1]).await;
    world.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    let answers = client.backend.renew(&refs).await;
    assert_eq!(answers.len(), 1000);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Renewal::Alive { grant: Some(_), .. }))));
    assert_eq!(world.calls("evalsha").await, 16);
    let page = Page { cursor: None, limit: 5000 };
    assert_eq!(client.backend.list(&NamePrefix::root(), page).await.unwrap().names.len(), 1000);
}

#[tokio::test]
async fn the_token_of_a_natively_taken_claim_shows_to_everybody() {
    let Some(world) = World::start().await else { return };
    let (owner, other) = (world.client().await, world.client().await);
    let (held, renewed, orphan) = (exclusive("a"), exclusive("b"), exclusive("c"));
    let token = owner.hold(&held).await.token;
    assert_eq!(owner.inspect("a").await.holders[0].token, Some(token));
    assert_eq!(other.inspect("a").await.holders[0].token, Some(token), "its owner was asked");
    let token = owner.hold(&renewed).await.token;
    owner.hold(&orphan).await;
    owner.renew(&renewed).await;
    owner.backend.close().await.unwrap();
    assert_eq!(other.inspect("b").await.holders[0].token, Some(token), "it was stored by the renewal");
    assert_eq!(other.inspect("c").await.holders[0].token, None, "nobody is left who knows");
}
