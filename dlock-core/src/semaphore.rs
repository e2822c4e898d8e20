//! A semaphore.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::{Capability, Error, ErrorKind, Guard, Lock, LockName, Mode, Owner, Result};

/// A fixed number of permits, given out in arrival order. Whoever uses the name must agree on the
/// number, or is answered with `Mismatch`.
///
/// ```
/// # use dlock_core::{Locks, memory::Memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> dlock_core::Result<()> {
/// # let locks = Locks::connect(Memory::new()).await?;
/// let licences = locks.semaphore("licences", 2)?;
/// let first = licences.acquire().await?;
/// let second = licences.acquire().await?;
/// assert!(licences.try_acquire().await?.is_none());
/// # drop((first, second)); locks.close().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore(Lock);

impl Semaphore {
    pub(crate) fn new(client: &Arc<Client>, name: LockName, permits: u32, owner: Option<&Owner>) -> Result<Self> {
        client.info.capabilities.require(Capability::Permits, client.info.scheme)?;
        let limit = NonZeroU32::new(permits)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a semaphore needs at least one permit"))?;
        Ok(Self(Lock::new(client.clone(), name, Mode::Permit { limit }, owner)))
    }

    /// The same semaphore with another ttl.
    ///
    /// # Errors
    /// As [`Lock::with_ttl`].
    pub fn with_ttl(self, ttl: Duration) -> Result<Self> {
        Ok(Self(self.0.with_ttl(ttl)?))
    }

    /// The permits as a [`Lock`], for code that takes any lock.
    #[must_use]
    pub fn as_lock(&self) -> &Lock {
        &self.0
    }

    /// Waits in line for a permit.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    ///
    /// # Cancel safety
    /// Safe, as [`Lock::acquire`].
    pub async fn acquire(&self) -> Result<Guard> {
        self.0.acquire().await
    }

    /// Takes a permit if one is free and nobody waits.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    ///
    /// # Cancel safety
    /// Safe, as [`Lock::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.0.try_acquire().await
    }

    /// Waits in line for a permit for at most `patience`.
    ///
    /// # Errors
    /// As [`Lock::acquire_within`].
    ///
    /// # Cancel safety
    /// Safe, as [`Lock::acquire`].
    pub async fn acquire_within(&self, patience: Duration) -> Result<Option<Guard>> {
        self.0.acquire_within(patience).await
    }
}
