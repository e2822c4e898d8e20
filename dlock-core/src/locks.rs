//! The entry: a connected client and its builder.

mod builder;

use std::sync::Arc;

pub use self::builder::Builder;
use crate::client::Client;
use crate::{
    BackendInfo, ClaimRef, Connect, DamagedEntry, Error, Health, Lock, LockName, LockState, Mode, NamePage, NamePrefix,
    Namespace, Owner, Page, Result, RwLock, Semaphore, Withdrawn,
};

/// A client of one coordination service. Cheap to clone; all clones share one keeper thread, which
/// renews leases, watches and cleans up, so that a blocked application runtime loses no lease.
///
/// When the last clone, lock and guard are dropped, the keeper withdraws what is left; that drop
/// waits for it, for some seconds at most. [`Locks::close`] does the same without blocking.
///
/// Its methods and those of locks and guards may be called from any async runtime.
#[derive(Clone, Debug)]
pub struct Locks(Arc<Client>);

impl Locks {
    /// A client with default settings.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    ///
    /// # Cancel safety
    /// Safe: a connection that nobody waits for is closed.
    pub async fn connect(backend: impl Connect) -> Result<Self> {
        Self::builder(backend).connect().await
    }

    /// Settings for a client of `backend`.
    pub fn builder(backend: impl Connect) -> Builder {
        Builder::new(Box::new(backend))
    }

    pub(crate) fn from_client(client: Client) -> Self {
        Self(Arc::new(client))
    }

    /// What the backend is and can do.
    #[must_use]
    pub fn info(&self) -> &BackendInfo {
        &self.0.info
    }

    /// What keeps this client's names apart from others' on the same service.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.settings.namespace
    }

    /// The exclusive lock on `name`. Each acquire of it is an owner of its own.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used.
    pub fn lock<N>(&self, name: N) -> Result<Lock>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        Ok(Lock::new(self.0.clone(), name.try_into().map_err(Into::into)?, Mode::Exclusive, None))
    }

    /// The readers-writer lock on `name`.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used, `Unsupported` where the backend has no
    /// shared mode.
    pub fn rw_lock<N>(&self, name: N) -> Result<RwLock>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        RwLock::new(&self.0, name.try_into().map_err(Into::into)?, None)
    }

    /// The semaphore `name` with `permits` permits.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used or no permits, `Unsupported` where the
    /// backend has no permits.
    pub fn semaphore<N>(&self, name: N, permits: u32) -> Result<Semaphore>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        Semaphore::new(&self.0, name.try_into().map_err(Into::into)?, permits, None)
    }

    /// A new owner, whose acquires are reentrant. The label is for people.
    #[must_use]
    pub fn owner(&self, label: impl Into<String>) -> Owner {
        Owner::new(self.0.clone(), label.into())
    }

    /// Who holds `name` and who waits for it.
    ///
    /// # Errors
    /// `InvalidInput` for a name that cannot be used, or what the service refuses with.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn inspect<N>(&self, name: N) -> Result<LockState>
    where
        N: TryInto<LockName>,
        N::Error: Into<Error>,
    {
        self.0.inspect(name.try_into().map_err(Into::into)?).await
    }

    /// The names in use at and below a point of the hierarchy, page by page.
    ///
    /// # Errors
    /// `Unsupported` where the backend cannot list, or what the service refuses with.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn list(&self, prefix: NamePrefix, page: Page) -> Result<NamePage> {
        self.0.list(prefix, page).await
    }

    /// Ends somebody's claim, held or queued, as found by [`Locks::inspect`]. Its holder sees the
    /// loss at its next renewal at the latest, which may be after the next holder was granted:
    /// break only what is known to be dead, or what a fence protects.
    ///
    /// # Errors
    /// `Unsupported` where the backend cannot break, or what the service refuses with.
    ///
    /// # Cancel safety
    /// Safe: once begun it is completed in the background.
    pub async fn break_claim(&self, claim: &ClaimRef) -> Result<Withdrawn> {
        self.0.break_claim(claim.clone()).await
    }

    /// Removes something unreadable that blocks `name`, as found by [`Locks::inspect`], if it
    /// still is what was seen.
    ///
    /// # Errors
    /// What the service refuses with.
    ///
    /// # Cancel safety
    /// Safe: once begun it is completed in the background.
    pub async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.0.clear_damage(name.clone(), entry.clone()).await
    }

    /// How the client is doing.
    ///
    /// # Errors
    /// `Closed`.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub async fn health(&self) -> Result<Health> {
        self.0.health().await
    }

    /// Ends the client: waiting acquires fail with `Closed`, guards that still live are told
    /// that they are lost and are no longer renewed. A claim on which a guard still counts is
    /// withdrawn when that guard is dropped, or when its validity has run out, whichever comes
    /// first; all others are withdrawn at once. Answers when nothing is left.
    ///
    /// # Errors
    /// What went wrong while sessions and connections were ended.
    ///
    /// # Cancel safety
    /// Safe: closing goes on in the background.
    pub async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
