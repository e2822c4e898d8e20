//! Writes that happen only while a claim is held.

use std::time::Duration;

use dlock_core::memory::Memory;
use dlock_core::{ErrorKind, Guard, Landed, Locks, Namespace};
use dlock_etcd::etcd_client::{Client, Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};
use dlock_etcd::{EtcdConfig, Ownership};
use dlock_testkit::servers::{self, Etcd, Server};

use crate::client::{Outsider, fresh_namespace};

/// A resource in the same etcd, and two clients that lock it.
struct World {
    url: String,
    namespace: Namespace,
    etcd: Client,
    /// The resource.
    key: String,
}

impl World {
    async fn new(server: &Server) -> Self {
        let namespace = fresh_namespace();
        let etcd = Client::connect([server.authority()], None).await.unwrap();
        Self { url: server.url().to_owned(), key: format!("resource-of-{namespace}"), namespace, etcd }
    }

    async fn locks(&self, ttl: Duration) -> Locks {
        let config = EtcdConfig::from_url(&self.url).unwrap();
        Locks::builder(config).namespace(self.namespace.clone()).ttl(ttl).connect().await.unwrap()
    }

    async fn hold(&self) -> Guard {
        self.locks(Duration::from_secs(30)).await.lock("a/b").unwrap().acquire().await.unwrap()
    }

    async fn ownership(&mut self, guard: &Guard) -> dlock_core::Result<Ownership> {
        Ownership::of(guard, &mut self.etcd).await
    }

    /// Whether the write was applied, as the server says, and as the resource shows.
    async fn write(&mut self, ownership: &Ownership, value: &str) -> bool {
        let write = Txn::new().when([ownership.comparison()]).and_then([TxnOp::put(self.key.clone(), value, None)]);
        let answer = self.etcd.txn(write).await.unwrap();
        ownership.check_history(answer.header()).unwrap();
        let found = self.etcd.get(self.key.clone(), None).await.unwrap();
        let applied = found.kvs().first().is_some_and(|kv| kv.value() == value.as_bytes());
        assert_eq!(answer.succeeded(), applied);
        applied
    }
}

#[tokio::test]
async fn a_write_is_applied_while_the_name_is_held_and_refused_after_the_release() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let guard = world.hold().await;
    let ownership = world.ownership(&guard).await.unwrap();
    assert!(world.write(&ownership, "first").await);
    assert!(world.write(&ownership, "second").await, "as often as one likes");
    guard.release().await.unwrap();
    assert!(!world.write(&ownership, "late").await);
    let next = world.hold().await;
    assert!(!world.write(&ownership, "later").await, "the successor's claim is not its own");
    let successor = world.ownership(&next).await.unwrap();
    assert!(world.write(&successor, "third").await);
}

#[tokio::test]
async fn permits_guard_writes_too() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let locks = world.locks(Duration::from_secs(30)).await;
    let pool = locks.semaphore("pool", 2).unwrap();
    let (one, two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let (first, second) = (world.ownership(&one).await.unwrap(), world.ownership(&two).await.unwrap());
    assert_ne!(first.key(), second.key());
    one.release().await.unwrap();
    assert!(!world.write(&first, "first").await);
    assert!(world.write(&second, "second").await);
}

#[tokio::test]
async fn a_write_is_refused_after_the_lease_was_revoked() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let guard = world.hold().await;
    let ownership = world.ownership(&guard).await.unwrap();
    let mut outsider = Outsider::new(server.authority(), &world.namespace).await;
    let (_, lease) = outsider.keys().await.remove(0);
    outsider.etcd.lease_client().revoke(lease).await.unwrap();
    assert!(!world.write(&ownership, "late").await, "whether the holder knows or not");
    guard.lost().await;
    assert_eq!(world.ownership(&guard).await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn a_write_is_refused_after_the_key_was_overwritten_or_made_anew() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let guard = world.hold().await;
    let ownership = world.ownership(&guard).await.unwrap();
    let found = world.etcd.get(ownership.key(), None).await.unwrap();
    let record = found.kvs()[0].value().to_vec();
    world.etcd.put(ownership.key(), record.clone(), None).await.unwrap();
    assert!(!world.write(&ownership, "late").await, "by somebody else, if with the same content");
    world.etcd.delete(ownership.key(), None).await.unwrap();
    assert!(!world.write(&ownership, "late").await);
    world.etcd.put(ownership.key(), record, None).await.unwrap();
    assert!(!world.write(&ownership, "late").await);
    world.etcd.delete(ownership.key(), None).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_stood_still_is_refused_once_its_lease_has_lapsed() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    // The keeper of this client stands still when its runtime does.
    let (go_on, stopped) = std::sync::mpsc::channel::<()>();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = EtcdConfig::from_url(&world.url).unwrap();
    let ttl = Duration::from_secs(2);
    let builder = Locks::builder(config).namespace(world.namespace.clone()).ttl(ttl);
    let locks = builder.keeper_on(runtime.handle().clone()).connect().await.unwrap();
    let guard = locks.lock("a/b").unwrap().acquire().await.unwrap();
    let ownership = world.ownership(&guard).await.unwrap();
    assert!(world.write(&ownership, "in time").await);
    runtime.spawn(async move {
        let _ = stopped.recv();
    });

    let next = world.hold().await;
    assert!(!world.write(&ownership, "late").await);
    let successor = world.ownership(&next).await.unwrap();
    assert!(world.write(&successor, "the successor's").await);
    assert!(!world.write(&ownership, "too late").await);
    drop(go_on);
    guard.lost().await;
    assert!(!world.write(&ownership, "after it went on").await);
    assert_eq!(world.ownership(&guard).await.unwrap_err().kind(), ErrorKind::Lost);
    drop((guard, locks));
    runtime.shutdown_background();
}

#[tokio::test]
async fn nothing_of_a_write_that_is_under_way_lands_after_the_release() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let locks = world.locks(Duration::from_secs(30)).await;
    for round in 0..100 {
        let guard = locks.lock("a/b").unwrap().acquire().await.unwrap();
        let ownership = world.ownership(&guard).await.unwrap();
        let key = format!("{}/{round}", world.key);
        let write = Txn::new().when([ownership.comparison()]).and_then([TxnOp::put(key.clone(), "", None)]);
        let (mut writer, mut reader) = (world.etcd.clone(), world.etcd.clone());
        let writing = tokio::spawn(async move { writer.txn(write).await });
        tokio::task::yield_now().await;
        guard.release().await.unwrap();
        let at_the_release = reader.get(key.clone(), None).await.unwrap().kvs().len();
        writing.await.unwrap().unwrap();
        assert_eq!(reader.get(key, None).await.unwrap().kvs().len(), at_the_release);
    }
}

#[tokio::test]
async fn it_stands_among_conditions_of_the_users_own() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let guard = world.hold().await;
    let ownership = world.ownership(&guard).await.unwrap();
    world.write(&ownership, "first").await;
    let write = |version| {
        let own = Compare::version(world.key.clone(), CompareOp::Equal, version);
        Txn::new()
            .when([own, ownership.comparison()])
            .and_then([TxnOp::put(world.key.clone(), "second", None)])
            .or_else([TxnOp::get(ownership.key(), Some(GetOptions::new().with_keys_only()))])
    };
    let refused = world.etcd.txn(write(7)).await.unwrap();
    assert!(!refused.succeeded());
    let responses = refused.op_responses();
    let [TxnOpResponse::Get(claim)] = &responses[..] else { panic!("{responses:?}") };
    let revision = u64::try_from(claim.kvs()[0].mod_revision()).unwrap();
    assert_eq!(revision, guard.token().unwrap().value, "it is not the lock that was lost");
    assert!(world.etcd.txn(write(1)).await.unwrap().succeeded());
}

#[tokio::test]
async fn shared_and_downgraded_holds_and_other_backends_are_refused() {
    let Ok(server) = servers::etcd().await else { return };
    let mut world = World::new(&server).await;
    let locks = world.locks(Duration::from_secs(30)).await;
    let reader = locks.rw_lock("r").unwrap().read().acquire().await.unwrap();
    let refusal = world.ownership(&reader).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Unsupported, "{refusal}");
    assert!(refusal.to_string().contains("hold it exclusively"), "{refusal}");

    let writer = locks.rw_lock("w").unwrap().write().acquire().await.unwrap();
    let before = world.ownership(&writer).await.unwrap();
    assert!(world.write(&before, "as a writer").await);
    writer.downgrade().await.unwrap();
    assert_eq!(world.ownership(&writer).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(!world.write(&before, "as a reader").await, "it does not exclude others any more");

    let elsewhere = Locks::connect(Memory::new()).await.unwrap().lock("a").unwrap().acquire().await.unwrap();
    let refusal = world.ownership(&elsewhere).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Unsupported);
    assert!(refusal.to_string().contains("held on memory"), "{refusal}");
}

#[tokio::test]
async fn an_answer_of_another_cluster_is_noticed() {
    let Ok(server) = servers::etcd().await else { return };
    if Etcd::installed().is_err() {
        return;
    }
    let mut world = World::new(&server).await;
    let guard = world.hold().await;
    let ownership = world.ownership(&guard).await.unwrap();
    let answer = world.etcd.get("x", None).await.unwrap();
    ownership.check_history(answer.header()).unwrap();

    let other = Etcd::start().await;
    let mut other = Client::connect([other.addr().to_string()], None).await.unwrap();
    let answer = other.get("x", None).await.unwrap();
    let error = ownership.check_history(answer.header()).unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Lost, Landed::Maybe), "{error}");
    assert_eq!(ownership.check_history(None).unwrap_err().kind(), ErrorKind::Protocol);
}
