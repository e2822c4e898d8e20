//! The lock that a worker process uses.

use std::sync::Arc;

use dlock_core::{Locks, Result};
use dlock_testkit::chaos::{DlockLocker, Locker, WorkerConfig};
use dlock_testkit::stores;

/// Connects a worker to what it is told to use.
pub(crate) async fn connect(config: WorkerConfig) -> Result<Arc<dyn Locker>> {
    let subject = stores::open(&config.address)?;
    let locks = Locks::builder(subject.client())
        .namespace(config.namespace.parse()?)
        .ttl(config.ttl)
        .label(config.process)
        .connect()
        .await?;
    Ok(Arc::new(DlockLocker::new(locks)))
}
