//! Who locks, for reentrancy.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::client::Client;
use crate::slot::Slot;
use crate::{Error, Lock, LockName, Mode, Result, RwLock, Semaphore};

/// An identity that may hold a name several times over.
///
/// An owner that holds a name acquires it again without blocking and without a request to the
/// service; each acquire is a guard of its own, and the name is released with the last of them.
/// Owners are explicit values, not tasks or threads: clone one into whatever works together.
/// Two owners with the same label are two owners.
///
/// ```
/// # use dlock_core::{Locks, memory::Memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> dlock_core::Result<()> {
/// # let locks = Locks::connect(Memory::new()).await?;
/// let checkout = locks.owner("checkout");
/// let outer = checkout.lock("cart/42")?.acquire().await?;
/// let inner = checkout.lock("cart/42")?.acquire().await?;
/// assert_eq!(inner.token()?, outer.token()?);
/// assert!(locks.owner("checkout").lock("cart/42")?.try_acquire().await?.is_none());
/// # drop((inner, outer)); locks.close().await
/// # }
/// ```
#[derive(Clone)]
pub struct Owner(Arc<Inner>);

struct Inner {
    client: Arc<Client>,
    label: String,
    slots: Mutex<HashMap<LockName, Weak<Slot>>>,
}

impl Owner {
    pub(crate) fn new(client: Arc<Client>, label: String) -> Self {
        Self(Arc::new(Inner { client, label, slots: Mutex::default() }))
    }

    /// The label, shown to others by `inspect`. It decides nothing.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// This owner's exclusive lock on `name`.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used.
    pub fn lock<N>(&self, name: N) -> Result<Lock>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        Ok(self.in_mode(name.try_into().map_err(Into::into)?, Mode::Exclusive))
    }

    /// This owner's readers-writer lock on `name`.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used, `Unsupported` where the backend has no
    /// shared mode.
    pub fn rw_lock<N>(&self, name: N) -> Result<RwLock>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        RwLock::new(&self.0.client, name.try_into().map_err(Into::into)?, Some(self))
    }

    /// This owner's access to the semaphore `name` with `permits` permits.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used or no permits, `Unsupported` where the
    /// backend has no permits.
    pub fn semaphore<N>(&self, name: N, permits: u32) -> Result<Semaphore>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        Semaphore::new(&self.0.client, name.try_into().map_err(Into::into)?, permits, Some(self))
    }

    pub(crate) fn in_mode(&self, name: LockName, mode: Mode) -> Lock {
        Lock::new(self.0.client.clone(), name, mode, Some(self))
    }

    pub(crate) fn slot(&self, name: &LockName) -> Arc<Slot> {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(name).and_then(Weak::upgrade) {
            return slot;
        }
        if slots.len().is_power_of_two() {
            slots.retain(|_, slot| slot.strong_count() > 0);
        }
        let slot = Arc::new(Slot::new(self.0.client.settings.max_holds));
        slots.insert(name.clone(), Arc::downgrade(&slot));
        slot
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.0.label).finish()
    }
}
