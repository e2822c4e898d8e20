//! From exclusive to shared: the younger key must not let a waiting writer in beside it.

use std::time::Duration;

use dlock_core::{ErrorKind, Queue, Renewal, Requested};
use dlock_testkit::proxy::{Direction, Flow, Proxy};
use dlock_testkit::servers;

use crate::client::{Client, EXCLUSIVE, Outsider, SHARED, fresh_namespace};

#[tokio::test]
async fn a_waiting_writer_waits_on_and_readers_come_in() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let (mut holder, grant) = client.hold("a", EXCLUSIVE).await;
    let reader = client.queue("a", SHARED).await;
    let writer = client.queue("a", EXCLUSIVE).await;
    let late = client.queue("a", SHARED).await;

    let converted = client.backend.convert(&holder.to_ref(), SHARED).await.unwrap();
    assert_eq!(converted, grant, "the token stays");
    assert_eq!(client.backend.convert(&holder.to_ref(), SHARED).await.unwrap(), grant, "it is idempotent");
    holder.mode = SHARED;
    client.granted(&reader).await;
    client.quiet(&writer).await;
    client.quiet(&late).await;

    let state = client.backend.inspect(&"a".parse().unwrap()).await.unwrap();
    let ids = |claims: &[dlock_core::ClaimInfo]| claims.iter().map(|info| info.claim.id).collect::<Vec<_>>();
    assert_eq!(ids(&state.holders), [holder.id, reader.id]);
    assert_eq!(ids(&state.waiters), [writer.id, late.id]);
    assert_eq!(state.holders[0].token, Some(grant.token));
    assert_eq!(state.holders[0].claim.mode, SHARED);

    client.release(&reader).await;
    client.quiet(&writer).await;
    client.release(&holder).await;
    let written = client.granted(&writer).await;
    assert!(written.token > grant.token);
    client.release(&writer).await;
    client.granted(&late).await;
    client.release(&late).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    assert_eq!(outsider.keys().await, []);
}

#[tokio::test]
async fn a_downgraded_claim_keeps_new_writers_out() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let (holder, _) = client.hold("a", EXCLUSIVE).await;
    client.backend.convert(&holder.to_ref(), SHARED).await.unwrap();
    let tried = client.claim("a", EXCLUSIVE);
    assert_eq!(client.backend.request(&tried, Queue::No).await.unwrap(), Requested::Refused);
    let reader = client.claim("a", SHARED);
    assert!(matches!(client.backend.request(&reader, Queue::No).await.unwrap(), Requested::Held(..)));
    let writer = client.queue("a", EXCLUSIVE).await;
    client.release(&reader).await;
    client.quiet(&writer).await;
    // The holder may still think of it as exclusive, when the answer to its downgrade was lost.
    client.release(&holder).await;
    client.granted(&writer).await;
}

#[tokio::test]
async fn only_an_intact_held_exclusive_claim_is_downgraded() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let (holder, _) = client.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    let refused = |claim: dlock_core::ClaimRef| {
        let backend = client.backend.clone();
        async move { backend.convert(&claim, SHARED).await.unwrap_err().kind() }
    };
    assert_eq!(refused(waiter.to_ref()).await, ErrorKind::Lost);
    assert_eq!(refused(client.claim("a", EXCLUSIVE).to_ref()).await, ErrorKind::Lost);
    let upgrade = client.backend.convert(&holder.to_ref(), EXCLUSIVE).await.unwrap_err();
    assert_eq!(upgrade.kind(), ErrorKind::Unsupported);
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let (key, _) = outsider.key_of(&holder).await;
    outsider.etcd.put(key, "mine now", None).await.unwrap();
    assert_eq!(refused(holder.to_ref()).await, ErrorKind::Lost);
}

#[tokio::test]
async fn a_claim_that_settles_while_it_is_downgraded_is_not_lost() {
    let Ok(server) = servers::etcd().await else { return };
    let proxy = Proxy::start(server.authority().parse().unwrap()).unwrap();
    let url = format!("etcd://{}", proxy.addr());
    let mut client = Client::connect(&url, &fresh_namespace()).await;
    // It has the watch stream opened.
    client.hold("other", EXCLUSIVE).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (holder, grant) = client.hold("a", EXCLUSIVE).await;
    proxy.set(Direction::ToServer, Flow::Hold);
    let backend = client.backend.clone();
    let reference = holder.to_ref();
    let converting = tokio::spawn(async move { backend.convert(&reference, SHARED).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.heal();
    assert_eq!(converting.await.unwrap().unwrap(), grant);
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.quiet(&holder).await;
    assert!(matches!(client.renew(&holder).await, Renewal::Alive { grant: Some(same), .. } if same == grant));
}
