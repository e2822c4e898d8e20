//! Deliberate defects, laid over a working backend: a case that passes on a backend with its flaw
//! proves nothing.

pub mod admission;
pub mod cleanup;
pub mod clocks;
pub mod collision;
pub mod downgrade;
pub mod identity;
pub mod life;
pub mod lives;
pub mod losses;
pub mod naming;
pub mod outages;
pub mod permits;
pub mod planted;
pub mod readers;
pub mod release;
pub mod renewal;
pub mod reports;
pub mod retry;
pub mod storing;
pub mod tokens;
pub mod waiting;
pub mod waking;

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Claim, ClaimRef, DamagedEntry, Event, Grant, LockBackend, LockName, LockState, Mode, NamePage,
    NamePrefix, Page, Queue, Renewal, Requested, Result, Why, Withdrawn,
};

/// A defect: overrides what it breaks of the contract. One value is shared by all clients of a
/// case, so that it may remember what one did and spoil it for another.
#[async_trait]
pub trait Flaw: Debug + Send + Sync + 'static {
    /// What the backend claims about itself.
    fn info(&self, info: BackendInfo) -> BackendInfo {
        info
    }

    /// See [`LockBackend::request`].
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(claim, queue).await
    }

    /// See [`LockBackend::renew`].
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        inner.renew(claims).await
    }

    /// See [`LockBackend::withdraw`].
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        inner.withdraw(claim, why).await
    }

    /// See [`LockBackend::convert`].
    async fn convert(&self, inner: &dyn LockBackend, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        inner.convert(claim, to).await
    }

    /// See [`LockBackend::inspect`].
    async fn inspect(&self, inner: &dyn LockBackend, name: &LockName) -> Result<LockState> {
        inner.inspect(name).await
    }

    /// See [`LockBackend::list`].
    async fn list(&self, inner: &dyn LockBackend, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        inner.list(prefix, page).await
    }

    /// See [`LockBackend::clear_damage`].
    async fn clear_damage(&self, inner: &dyn LockBackend, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        inner.clear_damage(name, entry).await
    }

    /// What becomes of an event.
    fn event(&self, event: Event) -> Option<Event> {
        Some(event)
    }
}

/// What a flaw remembers, also after a case has panicked.
fn locked<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No defect at all.
#[derive(Clone, Copy, Debug)]
pub struct Sound;

impl Flaw for Sound {}
