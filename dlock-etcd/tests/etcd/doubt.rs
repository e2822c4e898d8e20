//! Requests whose answer was lost, on a lease that other claims keep alive.

use std::time::Duration;

use dlock_core::{Claim, Landed, Queue, Renewal, Requested, Why};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::Etcd;
use etcd_client::PutOptions;

use crate::client::{Client, EXCLUSIVE, Outsider, SHARED, fresh_namespace, stop, until};

/// A server, a claim held on a shared lease, and another claim on it whose request got no answer
/// because the server was stopped.
async fn doubtful(server: &Etcd) -> (Client, Claim, Claim) {
    let config = EtcdConfig::from_url(&server.url()).unwrap().with_request_timeout(Duration::from_millis(700));
    let client = Client::with(config, &fresh_namespace()).await;
    let (held, _) = client.hold("held", EXCLUSIVE).await;
    stop(server).await;
    let doubtful = client.claim("doubtful", EXCLUSIVE);
    let error = client.backend.request(&doubtful, Queue::Yes).await.unwrap_err();
    assert_eq!(error.landed(), Landed::Maybe);
    server.resume();
    until("the server answers", async || client.backend.renew(&[held.to_ref()]).await.remove(0).is_ok()).await;
    (client, held, doubtful)
}

#[tokio::test]
async fn the_same_request_again_is_the_same_claim() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let (client, held, doubtful) = doubtful(&server).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    let answer = client.backend.request(&doubtful, Queue::Yes).await.unwrap();
    assert!(matches!(answer, Requested::Held(..)), "{answer:?}");
    assert_eq!(outsider.keys().await.len(), 2);
    assert_eq!(outsider.key_of(&doubtful).await.1, outsider.key_of(&held).await.1, "it may have been put twice");
}

#[tokio::test]
async fn a_request_that_arrives_after_its_withdrawal_does_not_stay() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let (client, held, doubtful) = doubtful(&server).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    let (held_key, lease) = outsider.key_of(&held).await;
    client.backend.withdraw(&doubtful.to_ref(), Why::Cancel).await.unwrap();

    // The lost request arrives, as late as can be.
    let late = held_key.replace("/held//", "/doubtful//").replace(".0", ".1");
    let on_lease = PutOptions::new().with_lease(lease);
    outsider.etcd.put(late, doubtful.to_record(), Some(on_lease)).await.unwrap();
    until("the late claim is removed", async || outsider.keys().await.iter().map(|(key, _)| key).eq([&held_key])).await;

    // Those who live on the lease stay; nobody new comes; it ends with the last of them.
    assert!(matches!(client.renew(&held).await, Renewal::Alive { grant: Some(_), .. }));
    let (new, _) = client.hold("new", EXCLUSIVE).await;
    assert_ne!(outsider.key_of(&new).await.1, lease);
    client.release(&held).await;
    until("the retired lease is revoked", async || {
        outsider.etcd.lease_client().time_to_live(lease, None).await.unwrap().ttl() == -1
    })
    .await;
}

#[tokio::test]
async fn without_other_claims_the_lease_ends_with_the_withdrawal() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let (client, held, doubtful) = doubtful(&server).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    let (_, lease) = outsider.key_of(&held).await;
    client.release(&held).await;
    client.backend.withdraw(&doubtful.to_ref(), Why::Cancel).await.unwrap();
    let left = outsider.etcd.lease_client().time_to_live(lease, None).await.unwrap();
    assert_eq!(left.ttl(), -1, "nothing can arrive on a lease that is gone");
    assert_eq!(outsider.keys().await, []);
}

#[tokio::test]
async fn a_downgrade_whose_answer_was_lost_is_repeated() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let config = EtcdConfig::from_url(&server.url()).unwrap().with_request_timeout(Duration::from_millis(700));
    let mut client = Client::with(config, &fresh_namespace()).await;
    let (holder, grant) = client.hold("a", EXCLUSIVE).await;
    let reader = client.queue("a", SHARED).await;
    stop(&server).await;
    let error = client.backend.convert(&holder.to_ref(), SHARED).await.unwrap_err();
    assert_eq!(error.landed(), Landed::Maybe);
    server.resume();
    // The lost request may arrive before, between or after these.
    let mut converted = None;
    until("the server answers", async || {
        converted = client.backend.convert(&holder.to_ref(), SHARED).await.ok();
        converted.is_some()
    })
    .await;
    assert_eq!(converted, Some(grant));
    client.granted(&reader).await;
    assert!(matches!(client.renew(&holder).await, Renewal::Alive { grant: Some(same), .. } if same == grant));
    client.release(&holder).await;
    client.release(&reader).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    assert_eq!(outsider.keys().await, []);
}
