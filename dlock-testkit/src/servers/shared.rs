//! The one server of a kind that all tests of a process share.

use std::sync::OnceLock;

use super::kind::{CONSUL, ETCD, Kind, REDIS, ZOOKEEPER};
use super::{Consul, Etcd, Redis, Server, Skip, ZooKeeper};

/// Dropped by nobody, being static: the watchdog ends a server that was started.
type Slot<T> = OnceLock<(Server, Option<T>)>;

/// The Redis server of this test process: `DLOCK_TEST_REDIS`, or one that is started now.
///
/// # Errors
/// A [`Skip`] when there is neither.
///
/// # Panics
/// When `DLOCK_REQUIRE` names `redis` and there is neither, and when the server does not answer.
pub async fn redis() -> Result<Server, Skip> {
    static SHARED: Slot<Redis> = OnceLock::new();
    blocking(|| shared(&REDIS, &SHARED, || Redis::builder().start_blocking(), Redis::url)).await
}

/// The etcd server of this test process: `DLOCK_TEST_ETCD`, or one that is started now.
///
/// # Errors
/// A [`Skip`] when there is neither.
///
/// # Panics
/// When `DLOCK_REQUIRE` names `etcd` and there is neither, and when the server does not answer.
pub async fn etcd() -> Result<Server, Skip> {
    static SHARED: Slot<Etcd> = OnceLock::new();
    blocking(|| shared(&ETCD, &SHARED, || Etcd::builder().start_blocking(), Etcd::url)).await
}

/// The Consul server of this test process: `DLOCK_TEST_CONSUL`, or one that is started now.
///
/// # Errors
/// A [`Skip`] when there is neither.
///
/// # Panics
/// When `DLOCK_REQUIRE` names `consul` and there is neither, and when the server does not answer.
pub async fn consul() -> Result<Server, Skip> {
    static SHARED: Slot<Consul> = OnceLock::new();
    blocking(|| shared(&CONSUL, &SHARED, || Consul::builder().start_blocking(), Consul::url)).await
}

/// The ZooKeeper server of this test process: `DLOCK_TEST_ZOOKEEPER`, or one that is started now.
///
/// # Errors
/// A [`Skip`] when there is neither.
///
/// # Panics
/// When `DLOCK_REQUIRE` names `zookeeper` and there is neither, and when the server does not answer.
pub async fn zookeeper() -> Result<Server, Skip> {
    static SHARED: Slot<ZooKeeper> = OnceLock::new();
    blocking(|| shared(&ZOOKEEPER, &SHARED, || ZooKeeper::builder().start_blocking(), ZooKeeper::url)).await
}

/// Runs what blocks where it holds up no other task.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => panic!("the runtime ended while a server was starting: {cancelled}"),
        },
    }
}

fn shared<T>(
    kind: &Kind,
    slot: &Slot<T>,
    start: impl FnOnce() -> T,
    url: impl FnOnce(&T) -> String,
) -> Result<Server, Skip> {
    let given = kind.given();
    if given.is_none() {
        kind.require_installed()?;
    }
    let (server, _) = slot.get_or_init(|| match given {
        Some(server) => {
            kind.wait_for(&server);
            (server, None)
        }
        None => {
            let started = start();
            (Server::new(url(&started)), Some(started))
        }
    });
    Ok(server.clone())
}
