//! Locks as the owners of a chaos run use them, whatever is behind.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Guard, Instant, Locks, Result, Token};

/// A lock service, as one worker process uses it for all its owners.
#[async_trait]
pub trait Locker: Debug + Send + Sync {
    /// Acquires `name` within `bound`. `None`: it was not acquired in time, and its claim is given
    /// up.
    ///
    /// # Errors
    /// When it is not known what became of the claim.
    ///
    /// # Cancel safety
    /// As safe as the lock behind it.
    async fn acquire(&self, owner: &str, name: &str, bound: Duration) -> Result<Option<Box<dyn Holding>>>;

    /// Ends the client.
    ///
    /// # Errors
    /// What went wrong while connections were ended.
    ///
    /// # Cancel safety
    /// Not safe: it may be left half closed.
    async fn close(&self) -> Result<()>;
}

/// A hold on a name, and what its holder knows of it.
#[async_trait]
pub trait Holding: Debug + Send + Sync {
    /// Its fencing token; `None` where this lock has none, or once it is lost.
    fn token(&self) -> Option<Token>;

    /// Whether the holder believes in it at this moment.
    fn is_held(&self) -> bool;

    /// Until when the holder believes in it if no renewal gets through: in the past once it is
    /// lost. `None`: for as long as this value lives.
    fn valid_until(&self) -> Option<Instant>;

    /// Waits for the loss. Answers why, and the last moment at which the holder could believe.
    ///
    /// # Cancel safety
    /// Safe: nothing is missed between two calls.
    async fn lost(&self) -> (String, Instant);

    /// Releases it.
    ///
    /// # Errors
    /// When it had been lost, or the release was not confirmed.
    ///
    /// # Cancel safety
    /// As safe as the lock behind it.
    async fn release(self: Box<Self>) -> Result<()>;
}

/// dlock itself.
#[derive(Clone, Debug)]
pub struct DlockLocker(Locks);

impl DlockLocker {
    /// Locks of this client.
    #[must_use]
    pub fn new(locks: Locks) -> Self {
        Self(locks)
    }

    /// The client.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.0
    }
}

#[async_trait]
impl Locker for DlockLocker {
    async fn acquire(&self, owner: &str, name: &str, bound: Duration) -> Result<Option<Box<dyn Holding>>> {
        // A fresh owner each time: nothing is reentrant, and the claim still says who made it.
        let guard = self.0.owner(owner).lock(name)?.acquire_within(bound).await?;
        Ok(guard.map(|guard| Box::new(guard) as _))
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[async_trait]
impl Holding for Guard {
    fn token(&self) -> Option<Token> {
        Guard::token(self).ok()
    }

    fn is_held(&self) -> bool {
        Guard::is_held(self)
    }

    fn valid_until(&self) -> Option<Instant> {
        match self.lease() {
            Ok(lease) => lease.valid_until,
            Err(_) => self.ended_at(),
        }
    }

    async fn lost(&self) -> (String, Instant) {
        let loss = Guard::lost(self).await;
        let at = self.ended_at().expect("a lost lease has ended");
        (loss.to_string(), at)
    }

    async fn release(self: Box<Self>) -> Result<()> {
        Guard::release(*self).await
    }
}

#[cfg(test)]
mod tests {
    use dlock_core::Clock;
    use dlock_core::memory::Memory;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn dlock_is_held_by_one_owner_until_its_release() {
        let locker = DlockLocker::new(Locks::connect(Memory::new()).await.unwrap());
        let first = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        assert!(first.is_held());
        assert!(first.valid_until().unwrap() > Clock::system().now());
        assert!(locker.acquire("a", "name", SOON).await.unwrap().is_none(), "even one label is two owners");
        let token = first.token().unwrap();
        first.release().await.unwrap();
        let second = locker.acquire("b", "name", LONG).await.unwrap().unwrap();
        assert!(second.token().unwrap() > token);
        second.release().await.unwrap();
        locker.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_loss_tells_the_last_moment_of_belief() {
        let ttl = Duration::from_secs(1);
        let locker = DlockLocker::new(Locks::builder(Memory::new()).ttl(ttl).connect().await.unwrap());
        let held = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        let state = locker.locks().inspect("name").await.unwrap();
        assert_eq!(state.holders[0].metadata.label, "a");
        let before = Clock::system().now();
        locker.locks().break_claim(&state.holders[0].claim).await.unwrap();
        // The memory backend tells of it with the next renewal.
        let (why, at) = tokio::time::timeout(LONG, held.lost()).await.unwrap();
        assert!(at > before && at <= Clock::system().now(), "{why}");
        assert!(!held.is_held());
        assert_eq!(held.valid_until(), Some(at));
        assert_eq!(held.token(), None);
        held.release().await.unwrap_err();
        locker.close().await.unwrap();
    }
}
