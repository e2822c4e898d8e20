//! Connections cut, servers stopped, killed and full.

use std::time::{Duration, Instant};

use dlock_core::{ErrorKind, Landed, Mode, Queue, Renewal, Requested};
use dlock_testkit::servers::Redis;

use crate::support::{Client, World, claim, eventually, exclusive};

async fn cut_all(world: &World) {
    for kind in ["normal", "pubsub"] {
        world.run::<redis::Value>(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
    }
}

#[tokio::test]
async fn a_cut_connection_is_rebuilt_and_hears_pushes_again() {
    let Some(world) = World::start().await else { return };
    let (one, mut two) = (world.client().await, world.client().await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    two.queue(&waiting).await;
    cut_all(&world).await;
    two.suspect().await;
    two.suspect().await;
    eventually("the release gets through", || async {
        one.backend.withdraw(&held.to_ref(), dlock_core::Why::Release).await.is_ok()
    })
    .await;
    two.granted(&waiting).await;
}

#[tokio::test]
async fn a_push_that_got_lost_is_found_by_renewal() {
    let Some(world) = World::start().await else { return };
    let (one, mut two) = (world.client().await, world.client().await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    two.queue(&waiting).await;
    // Nobody listens while the message is sent.
    let channels: Vec<String> = world.run(&["PUBSUB", "CHANNELS", "dlock:inbox:*"]).await;
    assert_eq!(channels.len(), 2);
    world.run::<redis::Value>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    one.suspect_free_release(&held).await;
    two.suspect().await;
    eventually("renewal tells of the grant", || async {
        matches!(two.backend.renew(&[waiting.to_ref()]).await.remove(0), Ok(Renewal::Alive { grant: Some(_), .. }))
    })
    .await;
}

impl Client {
    /// Releases over whatever connection there is.
    async fn suspect_free_release(&self, claim: &dlock_core::Claim) {
        eventually("the release gets through", || async {
            self.backend.withdraw(&claim.to_ref(), dlock_core::Why::Release).await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_fails_requests_in_time_and_is_used_again() {
    let Some(world) = World::start().await else { return };
    let timeout = Duration::from_millis(400);
    let mut client = Client::connect(world.config().with_request_timeout(timeout)).await.unwrap();
    let claim = exclusive("a");
    client.hold(&claim).await;
    world.server.stop();
    let start = Instant::now();
    let error = client.backend.renew(&[claim.to_ref()]).await.remove(0).unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::Maybe), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    client.suspect().await;
    eventually("later requests find no connection and surely change nothing", || async {
        client.backend.request(&exclusive("b"), Queue::No).await.unwrap_err().landed() == Landed::No
    })
    .await;
    world.server.resume();
    client.suspect().await;
    eventually("it works again", || async { client.backend.renew(&[claim.to_ref()]).await.remove(0).is_ok() }).await;
    assert!(matches!(client.renew(&claim).await, Renewal::Alive { grant: Some(_), .. }));
}

#[tokio::test]
async fn a_long_outage_is_survived_and_pushes_come_back() {
    let Some(world) = World::start_with(Redis::builder().append_only()).await else { return };
    let (one, mut two) = (world.client().await, world.client().await);
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    one.hold(&held).await;
    two.queue(&waiting).await;
    world.server.kill();
    two.suspect().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.server.restart().await;
    two.suspect().await;
    one.suspect_free_release(&held).await;
    two.granted(&waiting).await;
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_gets_them_again() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    for _ in 0..2 {
        let (held, waiting) = (exclusive("a"), exclusive("a"));
        client.hold(&held).await;
        client.queue(&waiting).await;
        world.run::<()>(&["SCRIPT", "FLUSH"]).await;
        client.renew(&held).await;
        world.run::<()>(&["SCRIPT", "FLUSH"]).await;
        client.release(&held).await;
        client.granted(&waiting).await;
        client.release(&waiting).await;
    }
}

#[tokio::test]
async fn a_full_server_refuses_new_claims_and_keeps_and_frees_old_ones() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let (plain, held, waiting) = (exclusive("plain"), exclusive("a"), exclusive("a"));
    client.hold(&plain).await;
    client.hold(&held).await;
    client.queue(&waiting).await;
    world.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for name in ["b", "a"] {
        let error = client.backend.request(&exclusive(name), Queue::Yes).await.unwrap_err();
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Exhausted, Landed::No), "{name}: {error}");
        assert!(error.to_string().contains("maxmemory"), "{error}");
    }
    for claim in [&plain, &held, &waiting] {
        assert!(matches!(client.renew(claim).await, Renewal::Alive { .. }));
    }
    client.release(&plain).await;
    client.release(&held).await;
    client.granted(&waiting).await;
    client.release(&waiting).await;
    assert_eq!(world.keys().await, ["dlock:{0}:tokens"]);
}

#[tokio::test]
async fn a_server_turned_read_only_is_named() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    world.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for _ in 0..2 {
        let error = client.backend.request(&exclusive("a"), Queue::Yes).await.unwrap_err();
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Exhausted, Landed::No), "{error}");
        assert!(error.to_string().contains("read-only replica"), "{error}");
    }
}

#[tokio::test]
async fn a_closed_backend_answers_that_it_is_closed() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    client.backend.close().await.unwrap();
    let error = client.backend.request(&exclusive("a"), Queue::Yes).await.unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Closed, Landed::No), "{error}");
    eventually("its connection is gone", || async {
        world.run::<Vec<String>>(&["PUBSUB", "CHANNELS", "dlock:inbox:*"]).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_lapsed_is_requested_again_at_the_end_of_the_line() {
    let Some(world) = World::start().await else { return };
    let (mut one, two) = (world.client().await, world.client().await);
    let (before, next, last) = (exclusive("a"), exclusive("a"), exclusive("a"));
    let lapsing = claim("a", Mode::Exclusive, Duration::from_millis(500));
    two.hold(&before).await;
    one.queue(&lapsing).await;
    two.release(&before).await;
    let first = one.granted(&lapsing).await;
    eventually("the server forgets the claim", || async { two.inspect("a").await.holders.is_empty() }).await;

    // Somebody else holds now: what is remembered of the claim does not count.
    let rival = two.hold(&next).await;
    let again = one.backend.request(&lapsing, Queue::Yes).await.unwrap();
    assert!(matches!(again, Requested::Queued(_)), "two would hold: {again:?}");
    two.release(&next).await;
    let second = one.granted_anew(&lapsing).await;
    assert!(first.token < rival.token && rival.token < second.token, "{first:?} {rival:?} {second:?}");

    // And when nobody holds, it holds by another token.
    eventually("the server forgets the claim again", || async { two.inspect("a").await.holders.is_empty() }).await;
    let rival = two.hold(&last).await;
    two.release(&last).await;
    let third = one.hold(&lapsing).await;
    assert!(third.token > rival.token, "{third:?} {rival:?}");
}
