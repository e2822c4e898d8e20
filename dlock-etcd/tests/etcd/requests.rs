//! What things cost, by the server's own count.

use std::time::Duration;

use dlock_core::{ClaimRef, Queue, Renewal, Requested};
use dlock_testkit::servers::Etcd;

use crate::client::{Client, EXCLUSIVE, fresh_namespace, permit, requests};

#[tokio::test]
async fn a_cycle_is_two_requests() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let authority = server.addr().to_string();
    let client = Client::connect(&server.url(), &fresh_namespace()).await;
    let before = requests(&authority, "Txn").await;
    let deletions = requests(&authority, "DeleteRange").await;
    for _ in 0..100 {
        let (claim, _) = client.hold("a", EXCLUSIVE).await;
        client.release(&claim).await;
    }
    assert_eq!(requests(&authority, "Txn").await - before, 100);
    assert_eq!(requests(&authority, "DeleteRange").await - deletions, 100);
    assert_eq!(requests(&authority, "LeaseGrant").await, 1);
    assert!(requests(&authority, "Watch").await <= 1);
}

#[tokio::test]
async fn a_thousand_claims_are_one_keep_alive() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let authority = server.addr().to_string();
    let client = Client::connect(&server.url(), &fresh_namespace()).await;
    let claims: Vec<_> = (0..1000).map(|n| client.claim(&format!("a/{n}"), EXCLUSIVE)).collect();
    for some in claims.chunks(50) {
        let asked = some.iter().map(|claim| client.backend.request(claim, Queue::Yes));
        for answer in futures::future::join_all(asked).await {
            assert!(matches!(answer, Ok(Requested::Held(..))));
        }
    }
    // Until all keys are watched.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (txns, ranges) = (requests(&authority, "Txn").await, requests(&authority, "Range").await);
    let all: Vec<ClaimRef> = claims.iter().map(dlock_core::Claim::to_ref).collect();
    for _ in 0..3 {
        for renewal in client.backend.renew(&all).await {
            assert!(matches!(renewal, Ok(Renewal::Alive { grant: Some(_), .. })));
        }
    }
    assert_eq!(requests(&authority, "LeaseGrant").await, 1);
    assert_eq!(requests(&authority, "LeaseKeepAlive").await, 1, "one stream");
    assert_eq!(requests(&authority, "Txn").await - txns, 0, "the keys are watched");
    assert_eq!(requests(&authority, "Range").await, ranges);
    assert_eq!(requests(&authority, "Watch").await, 1);
}

#[tokio::test]
async fn one_release_makes_one_waiter_look() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let authority = server.addr().to_string();
    for mode in [EXCLUSIVE, permit(3)] {
        let namespace = fresh_namespace();
        let mut client = Client::connect(&server.url(), &namespace).await;
        let mut holders = Vec::new();
        let held = if mode == EXCLUSIVE { 1 } else { 3 };
        for _ in 0..held {
            holders.push(client.hold("a", mode).await.0);
        }
        let mut waiters = Vec::new();
        for _ in 0..40 {
            waiters.push(client.queue("a", mode).await);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = requests(&authority, "Txn").await;
        for waiter in &waiters[..10] {
            client.release(&holders.remove(0)).await;
            client.granted(waiter).await;
            holders.push(waiter.clone());
        }
        assert_eq!(requests(&authority, "Txn").await - before, 10, "a look for each release of {mode}");
    }
}

#[tokio::test]
async fn a_grant_never_waits_for_the_server_to_catch_up_with_a_watch() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let mut slow = 0;
    for _ in 0..50 {
        let (holder, _) = client.hold("a", EXCLUSIVE).await;
        let waiter = client.queue("a", EXCLUSIVE).await;
        // At once: the watch on the holder's key begins at about the same time.
        client.release(&holder).await;
        let released = std::time::Instant::now();
        client.granted(&waiter).await;
        slow += u32::from(released.elapsed() > Duration::from_millis(60));
        client.release(&waiter).await;
    }
    assert!(slow < 25, "{slow} of 50 grants took longer than a watch needs");
}

#[tokio::test]
async fn two_thousand_waiters_are_no_burden() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    client.ttl = Duration::from_secs(600);
    for mode in [EXCLUSIVE, permit(1)] {
        let name = if mode == EXCLUSIVE { "x" } else { "p" };
        let (holder, _) = client.hold(name, mode).await;
        let waiters: Vec<_> = (0..2000).map(|_| client.claim(name, mode)).collect();
        for some in waiters.chunks(100) {
            let asked = some.iter().map(|claim| client.backend.request(claim, Queue::Yes));
            for answer in futures::future::join_all(asked).await {
                assert!(matches!(answer, Ok(Requested::Queued(_))), "{answer:?}");
            }
        }
        let state = client.backend.inspect(&holder.name).await.unwrap();
        assert_eq!((state.holders.len(), state.waiters.len()), (1, 2000));
        client.release(&holder).await;
        let first = state.waiters[0].claim.id;
        let next = waiters.iter().find(|claim| claim.id == first).unwrap();
        client.granted(next).await;
    }
}
