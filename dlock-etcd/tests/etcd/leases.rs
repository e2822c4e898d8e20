//! Claims share leases: what that must not break.

use std::time::Duration;

use dlock_core::{ErrorKind, Gone, Life, Queue, Renewal, Requested, Ttl};
use dlock_testkit::servers;

use crate::client::{Client, EXCLUSIVE, Outsider, fresh_namespace, until};

fn life(requested: Requested) -> Life {
    match requested {
        Requested::Held(_, life) | Requested::Queued(life) => life,
        Requested::Refused => panic!("refused"),
    }
}

#[tokio::test]
async fn claims_of_one_ttl_share_a_lease_and_its_life() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let one = client.claim("a", EXCLUSIVE);
    let first = life(client.backend.request(&one, Queue::Yes).await.unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let two = client.claim("b", EXCLUSIVE);
    let second = life(client.backend.request(&two, Queue::Yes).await.unwrap());
    assert_eq!(first, second, "a claim put later does not live longer");
    assert_eq!(first.ttl, Ttl::For(client.ttl));
    let (_, lease) = outsider.key_of(&one).await;
    assert_eq!(outsider.key_of(&two).await.1, lease);

    let mut other = client.claim("c", EXCLUSIVE);
    other.ttl = Duration::from_millis(40_500);
    let third = life(client.backend.request(&other, Queue::Yes).await.unwrap());
    assert_eq!(third.ttl, Ttl::For(Duration::from_secs(41)), "the ttl that was granted, in whole seconds");
    assert_ne!(outsider.key_of(&other).await.1, lease);

    until("a keep-alive advances it, once it is a sixth of the ttl old", async || {
        let Renewal::Alive { life: renewed, .. } = client.renew(&one).await else { panic!("gone") };
        renewed.sent_at > first.sent_at
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_lapsed_while_idle_is_not_used_again() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    client.ttl = Duration::from_secs(2);
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    client.release(&claim).await;
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    assert!(matches!(client.renew(&claim).await, Renewal::Alive { grant: Some(_), .. }));
}

#[tokio::test]
async fn a_revoked_lease_ends_its_claims_and_the_next_claim_gets_another() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let (pushed, _) = client.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    // Pushed by the watch on the key.
    let (_, lease) = outsider.key_of(&pushed).await;
    outsider.etcd.lease_client().revoke(lease).await.unwrap();
    assert_eq!(client.gone(&pushed).await, Gone::Absent);
    assert_eq!(client.gone(&waiter).await, Gone::Absent);
    // Found by the request: the old lease is unknown to the server.
    let (found, _) = client.hold("a", EXCLUSIVE).await;
    let (_, lease) = outsider.key_of(&found).await;
    // Found by a renewal.
    outsider.etcd.lease_client().revoke(lease).await.unwrap();
    assert!(matches!(client.renew(&found).await, Renewal::Gone(Gone::Session | Gone::Absent)));
    assert_eq!(client.renew(&found).await, Renewal::Gone(Gone::Absent), "for ever");
}

#[tokio::test]
async fn a_dead_client_frees_its_claim() {
    let Ok(server) = servers::etcd().await else { return };
    let namespace = fresh_namespace();
    let mut dead = Client::connect(server.url(), &namespace).await;
    dead.ttl = Duration::from_secs(2);
    let mut client = Client::connect(server.url(), &namespace).await;
    let (_claim, grant) = dead.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    drop(dead);
    assert!(client.granted(&waiter).await.token > grant.token);
}

#[tokio::test]
async fn closing_revokes_idle_leases_only() {
    let Ok(server) = servers::etcd().await else { return };
    let namespace = fresh_namespace();
    let mut outsider = Outsider::new(server.authority(), &namespace).await;
    let client = Client::connect(server.url(), &namespace).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    let (_, lease) = outsider.key_of(&claim).await;
    client.release(&claim).await;
    client.backend.close().await.unwrap();
    let left = outsider.etcd.lease_client().time_to_live(lease, None).await.unwrap();
    assert_eq!(left.ttl(), -1, "the idle lease is gone");

    let client = Client::connect(server.url(), &namespace).await;
    let (kept, _) = client.hold("a", EXCLUSIVE).await;
    client.backend.close().await.unwrap();
    outsider.key_of(&kept).await;
}

#[tokio::test]
async fn ttls_out_of_bounds_are_refused() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    for ttl in [Duration::from_secs(1), Duration::MAX] {
        let mut claim = client.claim("a", EXCLUSIVE);
        claim.ttl = ttl;
        let error = client.backend.request(&claim, Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("2s"), "{error}");
    }
}

#[tokio::test]
async fn a_renewal_tells_what_the_server_says_though_no_watch_has_seen_it() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    let (kept, _) = client.hold("b", EXCLUSIVE).await;
    let (key, _) = outsider.key_of(&claim).await;
    outsider.etcd.delete(key, None).await.unwrap();
    // The key is too young to be watched, and the lease lives on.
    assert_eq!(client.renew(&claim).await, Renewal::Gone(Gone::Absent));
    assert!(matches!(client.renew(&kept).await, Renewal::Alive { grant: Some(_), .. }));
}

#[tokio::test]
async fn renewals_beside_a_downgrade_never_take_it_for_a_loss() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    for round in 0..50 {
        let (claim, grant) = client.hold(&format!("a/{round}"), EXCLUSIVE).await;
        let claim_ref = claim.to_ref();
        let renewals = async {
            for _ in 0..5 {
                assert!(
                    matches!(client.renew(&claim).await, Renewal::Alive { grant: Some(same), .. } if same == grant)
                );
            }
        };
        let (converted, ()) = futures::join!(client.backend.convert(&claim_ref, dlock_core::Mode::Shared), renewals);
        assert_eq!(converted.unwrap(), grant);
        client.release(&claim).await;
    }
}
