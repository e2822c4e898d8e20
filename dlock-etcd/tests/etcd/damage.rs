//! What others write under a name, and over a claim.

use dlock_core::{ErrorKind, Gone, NamePrefix, Page, Queue, Renewal, Withdrawn};
use dlock_testkit::servers;

use crate::client::{Client, EXCLUSIVE, Outsider, SHARED, fresh_namespace, permit};

#[tokio::test]
async fn a_deleted_key_is_a_loss_at_once() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    let (key, _) = outsider.key_of(&claim).await;
    outsider.etcd.delete(key, None).await.unwrap();
    assert_eq!(client.gone(&claim).await, Gone::Absent);
    assert_eq!(client.renew(&claim).await, Renewal::Gone(Gone::Absent));
}

#[tokio::test]
async fn an_overwritten_key_is_a_loss_and_blocks_the_name_until_it_is_cleared() {
    let Ok(server) = servers::etcd().await else { return };
    let mut client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    for mode in [EXCLUSIVE, permit(1)] {
        let (claim, _) = client.hold("a", mode).await;
        let waiter = client.queue("a", mode).await;
        let (key, _) = outsider.key_of(&claim).await;
        outsider.etcd.put(key, "garbage", None).await.unwrap();
        assert_eq!(client.gone(&claim).await, Gone::Altered);
        client.quiet(&waiter).await;

        let state = client.backend.inspect(&claim.name).await.unwrap();
        assert_eq!(state.damaged.len(), 1, "{state:?}");
        assert_eq!(client.backend.clear_damage(&claim.name, &state.damaged[0]).await.unwrap(), Withdrawn::Removed);
        assert_eq!(client.backend.clear_damage(&claim.name, &state.damaged[0]).await.unwrap(), Withdrawn::Absent);
        client.granted(&waiter).await;
        client.release(&waiter).await;
    }
}

#[tokio::test]
async fn garbage_blocks_its_name_only_and_nothing_stays_of_the_refused() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let namespace = client.namespace.clone();
    for path in ["", "junk", "rw/x/junk", "rw/q/", "p3/junk", "p03/x"] {
        let key = format!("{namespace}/a//{path}");
        outsider.etcd.put(key.clone(), "garbage", None).await.unwrap();
        let standing = outsider.keys().await;
        for mode in [EXCLUSIVE, permit(2)] {
            for queue in [Queue::Yes, Queue::No] {
                let error = client.backend.request(&client.claim("a", mode), queue).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Damaged, "{key} {error}");
            }
        }
        assert_eq!(outsider.keys().await, standing);
        for free in ["a/b", "ab"] {
            let (claim, _) = client.hold(free, SHARED).await;
            client.release(&claim).await;
        }
        let name = "a".parse().unwrap();
        let state = client.backend.inspect(&name).await.unwrap();
        assert_eq!(client.backend.clear_damage(&name, &state.damaged[0]).await.unwrap(), Withdrawn::Removed);
        assert_eq!(outsider.keys().await, []);
    }
}

#[tokio::test]
async fn damage_that_changed_is_not_cleared() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(server.authority(), &client.namespace).await;
    let key = format!("{}/a//junk", client.namespace);
    outsider.etcd.put(key.clone(), "garbage", None).await.unwrap();
    let name = "a".parse().unwrap();
    let seen = client.backend.inspect(&name).await.unwrap().damaged.remove(0);
    outsider.etcd.put(key, "other garbage", None).await.unwrap();
    assert_eq!(client.backend.clear_damage(&name, &seen).await.unwrap(), Withdrawn::Absent);
    let elsewhere = client.backend.clear_damage(&"b".parse().unwrap(), &seen).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn names_are_listed_by_prefix_page_by_page() {
    let Ok(server) = servers::etcd().await else { return };
    let client = Client::connect(server.url(), &fresh_namespace()).await;
    for name in ["a", "a/b", "a/c/d", "ab", "z ü"] {
        client.hold(name, SHARED).await;
        client.hold(name, SHARED).await;
    }
    let all = async |prefix: NamePrefix, limit| {
        let (mut names, mut cursor) = (Vec::new(), None);
        loop {
            let page = client.backend.list(&prefix, Page { cursor, limit }).await.unwrap();
            names.extend(page.names.iter().map(ToString::to_string));
            cursor = page.cursor;
            if cursor.is_none() {
                return names;
            }
        }
    };
    for limit in [1, 3, 1000] {
        let mut names = all(NamePrefix::root(), limit).await;
        names.sort();
        assert_eq!(names, ["a", "a/b", "a/c/d", "ab", "z ü"]);
        let mut names = all(NamePrefix::below("a".parse().unwrap()), limit).await;
        names.sort();
        assert_eq!(names, ["a", "a/b", "a/c/d"]);
    }
    let foreign = Page { cursor: Some("6162".into()), limit: 1 };
    let error = client.backend.list(&NamePrefix::root(), foreign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
