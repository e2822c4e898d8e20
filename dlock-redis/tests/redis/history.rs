//! Tokens and epochs when the server loses or rewinds what it knew.

use dlock_core::{Token, Why, Withdrawn};
use dlock_testkit::servers::Redis;

use crate::support::{Client, World, eventually, exclusive};

async fn next_token(client: &Client) -> Token {
    let claim = exclusive("a");
    let grant = client.hold(&claim).await;
    client.release(&claim).await;
    grant.token
}

#[tokio::test]
async fn tokens_of_two_clients_share_an_epoch_and_grow() {
    let Some(world) = World::start().await else { return };
    let (one, two) = (world.client().await, world.client().await);
    let mut last = next_token(&one).await;
    for client in [&two, &one, &two] {
        let token = next_token(client).await;
        assert!(token > last, "{token:?} after {last:?}");
        last = token;
    }
}

#[tokio::test]
async fn a_flush_starts_one_new_epoch_for_everybody() {
    let Some(world) = World::start().await else { return };
    let (one, two) = (world.client().await, world.client().await);
    let (first, _) = (next_token(&one).await, next_token(&two).await);
    world.run::<()>(&["FLUSHALL"]).await;
    let three = world.client().await;
    let after = [next_token(&one).await, next_token(&two).await, next_token(&three).await, next_token(&one).await];
    assert_ne!(after[0].epoch, first.epoch);
    for pair in after.windows(2) {
        assert!(pair[0] < pair[1], "{after:?}");
    }
}

#[tokio::test]
async fn a_holder_from_before_a_flush_learns_that_it_lost() {
    let Some(world) = World::start().await else { return };
    let (one, two) = (world.client().await, world.client().await);
    let held = exclusive("a");
    let before = one.hold(&held).await.token;
    world.run::<()>(&["FLUSHALL"]).await;
    let successor = exclusive("a");
    let after = two.hold(&successor).await.token;
    assert_eq!(after.partial_cmp(&before), None, "a fence refuses the new epoch until it is accepted");
    assert!(matches!(one.renew(&held).await, dlock_core::Renewal::Gone(_)));
    assert_eq!(one.backend.withdraw(&held.to_ref(), Why::Release).await.unwrap(), Withdrawn::Absent);
    assert_eq!(two.inspect("a").await.holders.len(), 1);
}

#[tokio::test]
async fn a_lost_or_damaged_counter_starts_a_new_epoch() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    for surgery in [
        &["DEL", "dlock:{0}:tokens"][..],
        &["SET", "dlock:{0}:tokens", "5"],
        &["HSET", "dlock:{0}:tokens", "EPOCH", "5"],
        &["HSET", "dlock:{0}:tokens", "EPOCH", "garbage"],
        &["HDEL", "dlock:{0}:tokens", "EPOCH"],
    ] {
        let before = next_token(&client).await;
        let epoch = format!("{:016x}", before.epoch);
        let words: Vec<&str> = surgery.iter().map(|word| if *word == "EPOCH" { &epoch } else { *word }).collect();
        world.run::<redis::Value>(&words).await;
        let after = next_token(&client).await;
        assert_ne!(after.epoch, before.epoch, "{surgery:?}");
        assert!(next_token(&client).await > after, "{surgery:?}");
        assert_eq!(world.run::<usize>(&["HLEN", "dlock:{0}:tokens"]).await, 2, "nothing of the epoch before is left");
    }
    world.run::<redis::Value>(&["DEL", "dlock:{0}:tokens"]).await;
    world.run::<redis::Value>(&["LPUSH", "dlock:{0}:tokens", "x"]).await;
    let before = next_token(&client).await;
    assert!(next_token(&client).await > before, "another type of key");
}

#[tokio::test]
async fn a_restart_without_data_starts_a_new_epoch() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let before = next_token(&client).await;
    world.server.restart().await;
    client.suspect().await;
    let after = next_token(&client).await;
    assert_ne!(before.epoch, after.epoch);
}

#[tokio::test]
async fn a_restart_with_its_data_keeps_claims_and_epoch() {
    let Some(world) = World::start_with(Redis::builder().append_only()).await else { return };
    let mut client = world.client().await;
    let held = exclusive("held");
    client.hold(&held).await;
    let before = next_token(&client).await;
    world.server.restart().await;
    client.suspect().await;
    assert!(next_token(&client).await > before);
    assert!(matches!(client.renew(&held).await, dlock_core::Renewal::Alive { grant: Some(_), .. }));
}

#[tokio::test]
async fn a_rewound_server_never_repeats_a_token() {
    let Some(world) = World::start_with(Redis::builder().with_args(["--dbfilename", "dump.rdb"])).await else { return };
    let mut client = world.client().await;
    next_token(&client).await;
    world.run::<()>(&["SAVE"]).await;
    let last = next_token(&client).await;
    world.server.restart().await;
    client.suspect().await;
    let fresh = world.client().await;
    let (mine, theirs) = (next_token(&client).await, next_token(&fresh).await);
    for token in [mine, theirs] {
        assert!(token.epoch != last.epoch || token > last, "{token:?} after {last:?}");
    }
    assert_eq!(mine.epoch, theirs.epoch);
}

#[tokio::test]
async fn a_reply_that_got_lost_mints_once_more_and_then_never_again() {
    let Some(world) = World::start().await else { return };
    let (lost, client) = (world.client().await, world.client().await);
    let claim = exclusive("a");
    lost.hold(&claim).await;
    // The claim is on the server, and this client knows nothing of an answer.
    let grant = client.hold(&claim).await;
    assert_eq!(client.hold(&claim).await, grant);
    let other = world.client().await;
    assert_eq!(other.hold(&claim).await.token, grant.token);
    eventually("the token shows", || async { other.inspect("a").await.holders[0].token == Some(grant.token) }).await;
}
