//! Who takes part: dlock on each backend, and for each the least that a lock on it must do.

use std::fs::File;
use std::path::PathBuf;

use async_trait::async_trait;
use dlock::Locks;
use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use redis::aio::MultiplexedConnection;

/// Somebody who can take a name and give it back.
#[async_trait]
pub(crate) trait Contender: Send + Sync {
    fn label(&self) -> String;
    /// Takes `name`, which nobody else wants, and gives it back.
    async fn cycle(&self, name: &str);
}

/// dlock, by URL.
pub(crate) struct Dlock {
    locks: Locks,
}

impl Dlock {
    pub(crate) async fn connect(url: &str) -> Self {
        Self { locks: dlock::connect(url).await.expect("the service is there") }
    }
}

#[async_trait]
impl Contender for Dlock {
    fn label(&self) -> String {
        format!("dlock, {}", self.locks.info().scheme)
    }

    async fn cycle(&self, name: &str) {
        let lock = self.locks.lock(name).expect("a good name");
        lock.acquire().await.expect("the service answers").release().await.expect("the service answers");
    }
}

/// The floor for memory: a mutex that is looked up by name.
pub(crate) struct TokioMutex(pub(crate) tokio::sync::Mutex<()>);

#[async_trait]
impl Contender for TokioMutex {
    fn label(&self) -> String {
        "`tokio::sync::Mutex`".into()
    }

    async fn cycle(&self, _name: &str) {
        drop(self.0.lock().await);
    }
}

/// The floor for file: open, `flock`, unlock, close. No queue, no token, no record of who holds.
pub(crate) struct Flock(pub(crate) PathBuf);

#[async_trait]
impl Contender for Flock {
    fn label(&self) -> String {
        "plain `flock(2)`".into()
    }

    async fn cycle(&self, name: &str) {
        let file = File::create(self.0.join(name)).expect("the directory can be written");
        file.lock().expect("a lock can be taken");
        file.unlock().expect("a lock can be given back");
    }
}

/// The floor for Redis: `SET NX PX` and a script that compares and deletes, on one connection.
pub(crate) struct RawRedis {
    connection: MultiplexedConnection,
    release: redis::Script,
}

impl RawRedis {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a good URL");
        let connection = client.get_multiplexed_async_connection().await.expect("the server is there");
        let release = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
        Self { connection, release: redis::Script::new(release) }
    }
}

#[async_trait]
impl Contender for RawRedis {
    fn label(&self) -> String {
        "raw `redis`".into()
    }

    async fn cycle(&self, name: &str) {
        let mut connection = self.connection.clone();
        let set: Option<String> = redis::cmd("SET")
            .arg(name)
            .arg("me")
            .arg("NX")
            .arg("PX")
            .arg(30_000)
            .query_async(&mut connection)
            .await
            .expect("the server answers");
        assert!(set.is_some(), "nobody else is here");
        let deleted: i32 =
            self.release.key(name).arg("me").invoke_async(&mut connection).await.expect("the server answers");
        assert_eq!(deleted, 1);
    }
}

/// The floor for etcd: put if absent on a shared lease, and delete.
pub(crate) struct RawEtcd {
    client: etcd_client::Client,
    lease: i64,
}

impl RawEtcd {
    pub(crate) async fn connect(authority: &str) -> Self {
        let mut client = etcd_client::Client::connect([authority], None).await.expect("the server is there");
        let lease = client.lease_grant(3600, None).await.expect("the server answers").id();
        Self { client, lease }
    }
}

#[async_trait]
impl Contender for RawEtcd {
    fn label(&self) -> String {
        "raw `etcd-client`".into()
    }

    async fn cycle(&self, name: &str) {
        let mut client = self.client.kv_client();
        let put = TxnOp::put(name, "me", Some(PutOptions::new().with_lease(self.lease)));
        let absent = Compare::create_revision(name, CompareOp::Equal, 0);
        let taken = client.txn(Txn::new().when([absent]).and_then([put])).await.expect("the server answers");
        assert!(taken.succeeded(), "nobody else is here");
        client.delete(name, None).await.expect("the server answers");
    }
}
