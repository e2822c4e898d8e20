//! Keys are used again: a name costs no more after it was held ten thousand times.

use std::time::Duration;

use dlock_core::{ErrorKind, Landed, Why};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::{self, Etcd};

use crate::client::{Client, EXCLUSIVE, Outsider, SHARED, fresh_namespace, permit, stop, until};

#[tokio::test]
async fn one_claim_after_another_has_the_same_key_and_a_higher_token() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    for mode in [EXCLUSIVE, SHARED, permit(2)] {
        let mut known = None;
        for _ in 0..5 {
            let (claim, grant) = client.hold("a", mode).await;
            let (key, _) = outsider.key_of(&claim).await;
            client.release(&claim).await;
            if let Some((other, token)) = known.replace((key.clone(), grant.token)) {
                assert_eq!(key, other);
                assert!(grant.token > token);
            }
        }
    }
}

#[tokio::test]
async fn claims_that_stand_at_the_same_time_have_keys_of_their_own() {
    let Ok(server) = servers::etcd().await else { return };
    let namespace = fresh_namespace();
    let (client, other) =
        (Client::connect(server.url(), &namespace).await, Client::connect(server.url(), &namespace).await);
    let mut outsider = Outsider::new(server.authority(), &namespace).await;
    for _ in 0..10 {
        client.hold("a", SHARED).await;
        other.hold("a", SHARED).await;
    }
    assert_eq!(outsider.keys().await.len(), 20);
}

#[tokio::test]
async fn where_a_request_may_still_arrive_nobody_sits_again() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let config = EtcdConfig::from_url(&server.url()).unwrap().with_request_timeout(Duration::from_millis(500));
    let client = Client::with(config, &fresh_namespace()).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    let (key, _) = outsider.key_of(&claim).await;
    stop(&server).await;
    let error = client.backend.withdraw(&claim.to_ref(), Why::Release).await.unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::Maybe));
    server.resume();
    until("it is released", async || client.backend.withdraw(&claim.to_ref(), Why::Release).await.is_ok()).await;
    for _ in 0..3 {
        let (next, _) = client.hold("a", EXCLUSIVE).await;
        assert_ne!(outsider.key_of(&next).await.0, key);
        client.release(&next).await;
    }
}
