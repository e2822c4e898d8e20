//! A readers-writer lock.

use std::sync::Arc;

use crate::client::Client;
use crate::{Capability, Lock, LockName, Mode, Owner, Result};

/// A readers-writer lock: many readers or one writer, in arrival order, so that neither starves.
///
/// ```
/// # use dlock_core::{Locks, memory::Memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> dlock_core::Result<()> {
/// # let locks = Locks::connect(Memory::new()).await?;
/// let config = locks.rw_lock("config")?;
/// let writer = config.write().acquire().await?;
/// writer.downgrade().await?;
/// let reader = config.read().acquire().await?;
/// # drop((reader, writer)); locks.close().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RwLock {
    read: Lock,
    write: Lock,
}

impl RwLock {
    pub(crate) fn new(client: &Arc<Client>, name: LockName, owner: Option<&Owner>) -> Result<Self> {
        client.info.capabilities.require(Capability::Shared, client.info.scheme)?;
        Ok(Self {
            read: Lock::new(client.clone(), name.clone(), Mode::Shared, owner),
            write: Lock::new(client.clone(), name, Mode::Exclusive, owner),
        })
    }

    /// The shared side.
    #[must_use]
    pub fn read(&self) -> &Lock {
        &self.read
    }

    /// The exclusive side. It is the same lock as `Locks::lock` on this name.
    #[must_use]
    pub fn write(&self) -> &Lock {
        &self.write
    }
}
