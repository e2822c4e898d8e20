//! What goes wrong between one client and the service: below the flaw, above the adapter.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Claim, ClaimRef, DamagedEntry, Error, ErrorKind, Event, Grant, Landed, LockBackend, LockName,
    LockState, Mode, NamePage, NamePrefix, Page, Queue, Renewal, Requested, Result, Why, Withdrawn,
};
use futures::stream::BoxStream;

/// Faults of one client's way to the service. None until its methods say so; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    renewals_to_lose: AtomicUsize,
    renewals_lost: AtomicU64,
    delay: RwLock<Duration>,
}

impl Faults {
    /// The next `count` renewals never reach the service, and fail.
    pub fn lose_renewals(&self, count: usize) {
        self.0.renewals_to_lose.store(count, Ordering::SeqCst);
    }

    /// How many renewals were lost so far.
    #[must_use]
    pub fn lost_renewals(&self) -> u64 {
        self.0.renewals_lost.load(Ordering::SeqCst)
    }

    /// Answers to requests and renewals take this much longer from now on.
    pub fn delay_answers(&self, delay: Duration) {
        *self.0.delay.write().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// `backend`, behind these faults.
    pub(crate) fn before(&self, backend: Arc<dyn LockBackend>) -> Arc<dyn LockBackend> {
        Arc::new(Strained { inner: backend, faults: self.clone() })
    }

    fn takes_a_renewal(&self) -> bool {
        let left = &self.0.renewals_to_lose;
        let lost = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        self.0.renewals_lost.fetch_add(u64::from(lost), Ordering::SeqCst);
        lost
    }

    async fn travel(&self) {
        let delay = *self.0.delay.read().unwrap_or_else(PoisonError::into_inner);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

#[derive(Debug)]
struct Strained {
    inner: Arc<dyn LockBackend>,
    faults: Faults,
}

#[async_trait]
impl LockBackend for Strained {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = self.inner.request(claim, queue).await;
        self.faults.travel().await;
        answer
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        if self.faults.takes_a_renewal() {
            let lost = Error::new(ErrorKind::Unavailable, "the case lost this renewal").with_landed(Landed::Maybe);
            return vec![Err(lost); claims.len()];
        }
        let answers = self.inner.renew(claims).await;
        self.faults.travel().await;
        answers
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.inner.withdraw(claim, why).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        self.inner.convert(claim, to).await
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.inner.inspect(name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.inner.list(prefix, page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.inner.clear_damage(name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        self.inner.events()
    }

    #[cfg(unix)]
    fn lifeline(&self, claim: &ClaimRef) -> Result<Option<std::os::fd::OwnedFd>> {
        self.inner.lifeline(claim)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
