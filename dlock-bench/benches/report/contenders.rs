//! Who takes part: dlock, other locks, and for each store the least that a lock on it must do.

mod baton;
mod distributed_lock;
mod dlock_client;
mod etcd_lock;
mod flock;
mod kept_leases;
mod raw_etcd;
mod raw_redis;
mod rslock;
mod tokio_mutex;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

pub(crate) use self::baton::Baton;
pub(crate) use self::distributed_lock::DistributedLock;
pub(crate) use self::dlock_client::Dlock;
pub(crate) use self::etcd_lock::EtcdLock;
pub(crate) use self::flock::Flock;
pub(crate) use self::raw_etcd::RawEtcd;
pub(crate) use self::raw_redis::{RawRedis, connect as raw_connection};
pub(crate) use self::rslock::Rslock;
pub(crate) use self::tokio_mutex::TokioMutex;

/// For how long a store believes in a holder of whom it hears nothing: dlock's default, for all.
const TTL: Duration = Duration::from_secs(30);
/// The pause of those who poll.
const POLL: Duration = Duration::from_millis(1);

/// What is done while a name is held.
pub(crate) type Meanwhile<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// Somebody who can take a name and give it back.
#[async_trait]
pub(crate) trait Contender: Send + Sync {
    fn label(&self) -> String;
    /// Takes `name`, awaits `meanwhile` and gives it back. Each task has a number of its own.
    async fn turn(&self, task: usize, name: &str, meanwhile: Meanwhile<'_>);
}

/// The version of a dependency that this repository has chosen.
fn version(package: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let named = lock.lines().skip_while(|line| *line != format!("name = {package:?}")).nth(1);
    let version = named.and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.expect("the package is in the lock file").to_owned()
}
