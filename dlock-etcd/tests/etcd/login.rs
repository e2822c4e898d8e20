//! Logins that end while they are in use.

use std::time::Duration;

use dlock_core::{ErrorKind, Namespace, Queue, Requested};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::Etcd;
use etcd_client::{Client as EtcdClient, ConnectOptions, Permission, PermissionType};

use crate::client::{Client, EXCLUSIVE, fresh_namespace, until};

/// A server with users, and a client that has logged in as one of them.
struct World {
    _server: Etcd,
    root: EtcdClient,
    client: Client,
    config: EtcdConfig,
}

impl World {
    /// Tokens are forgotten that were not used for so many seconds.
    async fn new(token_ttl: u32) -> Self {
        // Few rounds of the password's hash: logins are not what takes time here.
        let args = ["--auth-token-ttl".to_owned(), token_ttl.to_string(), "--bcrypt-cost".into(), "4".into()];
        let server = Etcd::builder().with_args(args).start().await;
        let address = server.addr().to_string();
        let namespace = fresh_namespace();
        let mut setup = EtcdClient::connect([address.as_str()], None).await.unwrap();
        setup.user_add("root", "pw", None).await.unwrap();
        setup.role_add("root").await.unwrap();
        setup.user_grant_role("root", "root").await.unwrap();
        setup.user_add("locks", "secret", None).await.unwrap();
        setup.role_add("locks").await.unwrap();
        setup.role_grant_permission("locks", Self::all_of(&namespace)).await.unwrap();
        setup.user_grant_role("locks", "locks").await.unwrap();
        setup.auth_enable().await.unwrap();
        let options = ConnectOptions::new().with_user("root", "pw").with_auto_token_refresh(true);
        let root = EtcdClient::connect([address.as_str()], Some(options)).await.unwrap();
        let config = EtcdConfig::new([address]).with_login("locks", "secret");
        let client = Client::with(config.clone(), &namespace).await;
        Self { _server: server, root, client, config }
    }

    fn all_of(namespace: &Namespace) -> Permission {
        Permission::new(PermissionType::Readwrite, format!("{namespace}/")).with_prefix()
    }

    /// What a client does all day.
    async fn works(&mut self) {
        let (holder, _) = self.client.hold("a", EXCLUSIVE).await;
        let waiter = self.client.queue("a", EXCLUSIVE).await;
        self.client.renew(&holder).await;
        self.client.release(&holder).await;
        self.client.granted(&waiter).await;
        self.client.release(&waiter).await;
    }
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced() {
    if Etcd::installed().is_err() {
        return;
    }
    let mut world = World::new(300).await;
    world.works().await;
    let (holder, _) = world.client.hold("b", EXCLUSIVE).await;
    let waiter = world.client.queue("b", EXCLUSIVE).await;
    // All tokens of a user end with its password, though it be the same again.
    world.root.user_change_password("locks", "secret").await.unwrap();
    world.client.renew(&holder).await;
    world.works().await;
    world.root.user_change_password("locks", "secret").await.unwrap();
    world.client.release(&holder).await;
    world.client.granted(&waiter).await;
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced() {
    if Etcd::installed().is_err() {
        return;
    }
    let mut world = World::new(1).await;
    let (holder, _) = world.client.hold("b", EXCLUSIVE).await;
    let waiter = world.client.queue("b", EXCLUSIVE).await;
    let address = world.config.endpoints()[0].clone();
    let options = ConnectOptions::new().with_user("locks", "secret");
    let mut idle = EtcdClient::connect([address], Some(options)).await.unwrap();
    let key = format!("{}/", world.client.namespace);
    until("tokens that are not used expire", async || {
        // Asking renews it.
        tokio::time::sleep(Duration::from_secs(3)).await;
        idle.get(key.clone(), None).await.is_err()
    })
    .await;
    world.client.release(&holder).await;
    world.client.granted(&waiter).await;
    world.works().await;
}

#[tokio::test]
async fn changes_of_other_users_disturb_nobody() {
    if Etcd::installed().is_err() {
        return;
    }
    let mut world = World::new(300).await;
    let mut root = world.root.clone();
    let changes = tokio::spawn(async move {
        for number in 0..60 {
            let other = fresh_namespace();
            root.role_grant_permission("locks", World::all_of(&other)).await.unwrap();
            root.role_add(format!("role {number}")).await.unwrap();
        }
    });
    while !changes.is_finished() {
        world.works().await;
    }
    changes.await.unwrap();
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_reported_and_works_again_when_given_back() {
    if Etcd::installed().is_err() {
        return;
    }
    let mut world = World::new(300).await;
    world.works().await;
    world.root.user_revoke_role("locks", "locks").await.unwrap();
    let claim = world.client.claim("a", EXCLUSIVE);
    let error = world.client.backend.request(&claim, Queue::Yes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    world.root.user_grant_role("locks", "locks").await.unwrap();
    assert!(matches!(world.client.backend.request(&claim, Queue::Yes).await, Ok(Requested::Held(..))));
    world.client.release(&claim).await;
    world.works().await;
}
