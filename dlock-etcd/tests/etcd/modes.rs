//! Order and admission, as etcd's transactions decide them.

use dlock_core::{ErrorKind, Queue, Requested, Why};
use dlock_testkit::servers;

use crate::client::{Client, EXCLUSIVE, Outsider, SHARED, fresh_namespace, permit};

#[tokio::test]
async fn exclusive_claims_are_granted_in_order() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let (first, one) = client.hold("a", EXCLUSIVE).await;
    let second = client.queue("a", EXCLUSIVE).await;
    let third = client.queue("a", EXCLUSIVE).await;
    client.release(&first).await;
    let two = client.granted(&second).await;
    client.quiet(&third).await;
    client.release(&second).await;
    let three = client.granted(&third).await;
    assert!(one.token < two.token && two.token < three.token);
    assert_eq!(one.token.epoch, three.token.epoch);
    client.release(&third).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    assert_eq!(outsider.keys().await, [], "nothing of a name stays");
}

#[tokio::test]
async fn a_cancelled_waiter_does_not_let_the_next_one_in() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let (holder, _) = client.hold("a", EXCLUSIVE).await;
    let cancelled = client.queue("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    client.backend.withdraw(&cancelled.to_ref(), Why::Cancel).await.unwrap();
    client.quiet(&waiter).await;
    client.release(&holder).await;
    client.granted(&waiter).await;
}

#[tokio::test]
async fn readers_behind_a_writer_come_in_together() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let (reader, _) = client.hold("a", SHARED).await;
    client.hold("a", SHARED).await;
    let writer = client.queue("a", EXCLUSIVE).await;
    let late = [client.queue("a", SHARED).await, client.queue("a", SHARED).await];
    client.release(&reader).await;
    client.quiet(&writer).await;
    client.backend.withdraw(&writer.to_ref(), Why::Cancel).await.unwrap();
    for reader in &late {
        client.granted(reader).await;
    }
}

#[tokio::test]
async fn readers_who_wait_for_the_same_writer_share_a_watch() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    // The seat is used again: the writer's key has a past.
    for _ in 0..3 {
        let (writer, _) = client.hold("a", EXCLUSIVE).await;
        let first = client.queue("a", SHARED).await;
        client.quiet(&first).await;
        let second = client.queue("a", SHARED).await;
        let third = client.queue("a", SHARED).await;
        client.backend.withdraw(&first.to_ref(), Why::Cancel).await.unwrap();
        client.quiet(&second).await;
        client.release(&writer).await;
        for reader in [&second, &third] {
            client.granted(reader).await;
            client.release(reader).await;
        }
    }
}

#[tokio::test]
async fn permits_that_leave_out_of_order_admit_the_next() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let (first, _) = client.hold("a", permit(3)).await;
    let (second, _) = client.hold("a", permit(3)).await;
    let (third, _) = client.hold("a", permit(3)).await;
    let fourth = client.queue("a", permit(3)).await;
    let fifth = client.queue("a", permit(3)).await;
    let sixth = client.queue("a", permit(3)).await;
    client.release(&second).await;
    client.granted(&fourth).await;
    client.quiet(&fifth).await;
    client.backend.withdraw(&fifth.to_ref(), Why::Cancel).await.unwrap();
    client.quiet(&sixth).await;
    client.release(&third).await;
    client.granted(&sixth).await;
    client.release(&first).await;
}

#[tokio::test]
async fn a_try_that_is_refused_writes_nothing() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    for (held, tried) in [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE), (permit(1), permit(1))] {
        let (holder, _) = client.hold("a", held).await;
        let before = outsider.keys().await;
        let claim = client.claim("a", tried);
        assert_eq!(client.backend.request(&claim, Queue::No).await.unwrap(), Requested::Refused);
        assert_eq!(outsider.keys().await, before);
        client.release(&holder).await;
        assert!(matches!(client.backend.request(&claim, Queue::No).await.unwrap(), Requested::Held(..)));
        client.release(&claim).await;
    }
}

#[tokio::test]
async fn tries_get_all_permits_and_not_one_more() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let claims: Vec<_> = (0..24).map(|_| client.claim("a", permit(10))).collect();
    let tries = claims.iter().map(|claim| client.backend.request(claim, Queue::No));
    let answers = futures::future::join_all(tries).await;
    let held = answers.into_iter().filter(|answer| matches!(answer, Ok(Requested::Held(..)))).count();
    assert_eq!(held, 10);
}

#[tokio::test]
async fn a_claim_of_another_kind_is_refused_and_disturbs_nobody() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    for (used, other) in [(EXCLUSIVE, permit(2)), (permit(2), SHARED), (permit(2), permit(20)), (permit(20), permit(2))]
    {
        let (holder, _) = client.hold("a", used).await;
        let standing = outsider.keys().await;
        // Many at once, beside others of the right kind: a wrong claim must not even pass by.
        let wrong: Vec<_> = (0..8).map(|_| client.claim("a", other)).collect();
        let right: Vec<_> = (0..8).map(|_| client.claim("a", used)).collect();
        let both = wrong.iter().zip(&right).flat_map(|(wrong, right)| [wrong, right]);
        let answers = futures::future::join_all(both.map(|claim| client.backend.request(claim, Queue::Yes))).await;
        for pair in answers.chunks(2) {
            assert_eq!(pair[0].as_ref().unwrap_err().kind(), ErrorKind::Mismatch);
            assert!(pair[1].is_ok(), "{:?}", pair[1]);
        }
        for claim in &right {
            client.release(claim).await;
        }
        assert_eq!(outsider.keys().await, standing);
        client.quiet(&wrong[0]).await;
        client.release(&holder).await;
    }
}

#[tokio::test]
async fn a_repeated_request_is_one_claim() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let (claim, grant) = client.hold("a", EXCLUSIVE).await;
    for queue in [Queue::Yes, Queue::No] {
        match client.backend.request(&claim, queue).await.unwrap() {
            Requested::Held(again, _) => assert_eq!(again, grant),
            other => panic!("{other:?}"),
        }
    }
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    assert_eq!(outsider.keys().await.len(), 1);
}
