//! What goes wrong between one client and the service: below the flaw, above the adapter.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Claim, ClaimRef, Connect, ConnectContext, DamagedEntry, Error, ErrorKind, Event, Grant, Landed,
    LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Page, Queue, Renewal, Requested, Result, Why,
    Withdrawn,
};
use futures::StreamExt;
use futures::stream::BoxStream;

/// Faults of one client's way to the service. None until its methods say so; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    renewals_to_lose: AtomicUsize,
    renewals_lost: AtomicU64,
    delay: RwLock<Duration>,
    cut: AtomicBool,
    deaf: AtomicBool,
    replies_to_lose: AtomicUsize,
    refusal: RwLock<Option<ErrorKind>>,
}

impl Faults {
    /// A client that has these faults. Several may have the same, as when their server has them.
    #[must_use]
    pub fn on(&self, client: Box<dyn Connect>) -> Box<dyn Connect> {
        Box::new(Faulty { client, faults: self.clone() })
    }

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

    /// From now on nothing gets through, either way.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
    }

    /// After a cut: from now on things get through again.
    pub fn heal(&self) {
        self.0.cut.store(false, Ordering::SeqCst);
    }

    /// From now on the client hears of no events.
    pub fn lose_events(&self) {
        self.0.deaf.store(true, Ordering::SeqCst);
    }

    /// The next `count` requests and withdrawals are carried out, but never answered.
    pub fn lose_replies(&self, count: usize) {
        self.0.replies_to_lose.store(count, Ordering::SeqCst);
    }

    /// How many replies are still to be lost.
    #[must_use]
    pub fn replies_to_lose(&self) -> usize {
        self.0.replies_to_lose.load(Ordering::SeqCst)
    }

    /// From now on everything is refused with an error of this kind.
    pub fn refuse(&self, kind: ErrorKind) {
        self.set_refusal(Some(kind));
    }

    /// After a refusal: from now on nothing is refused.
    pub fn obey(&self) {
        self.set_refusal(None);
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

    fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::SeqCst)
    }

    fn set_refusal(&self, refusal: Option<ErrorKind>) {
        *self.0.refusal.write().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    fn pass(&self) -> Result<()> {
        if let Some(kind) = *self.0.refusal.read().unwrap_or_else(PoisonError::into_inner) {
            return Err(Error::new(kind, "the case refuses this"));
        }
        if self.is_cut() { Err(unanswered("the case cut the line")) } else { Ok(()) }
    }

    /// The reply to something that changed the service, on its way back.
    fn reply<T>(&self, answer: Result<T>) -> Result<T> {
        let left = &self.0.replies_to_lose;
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(unanswered("the case lost this reply"));
        }
        self.pass().and(answer)
    }

    async fn travel(&self) {
        let delay = *self.0.delay.read().unwrap_or_else(PoisonError::into_inner);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

#[derive(Debug)]
struct Faulty {
    client: Box<dyn Connect>,
    faults: Faults,
}

#[async_trait]
impl Connect for Faulty {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        self.faults.pass()?;
        Ok(self.faults.before(self.client.connect(context).await?))
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
        self.faults.pass()?;
        let answer = self.inner.request(claim, queue).await;
        self.faults.travel().await;
        self.faults.reply(answer)
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        if self.faults.takes_a_renewal() {
            return vec![Err(unanswered("the case lost this renewal")); claims.len()];
        }
        if let Err(cut) = self.faults.pass() {
            return vec![Err(cut); claims.len()];
        }
        let answers = self.inner.renew(claims).await;
        self.faults.travel().await;
        answers.into_iter().map(|answer| self.faults.pass().and(answer)).collect()
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.faults.pass()?;
        let answer = self.inner.withdraw(claim, why).await;
        self.faults.reply(answer)
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        self.faults.pass()?;
        let answer = self.inner.convert(claim, to).await;
        self.faults.reply(answer)
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.faults.pass()?;
        self.inner.inspect(name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.faults.pass()?;
        self.inner.list(prefix, page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.faults.pass()?;
        self.inner.clear_damage(name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let faults = self.faults.clone();
        let hears = move || !faults.is_cut() && !faults.0.deaf.load(Ordering::SeqCst);
        self.inner.events().filter(move |_| std::future::ready(hears())).boxed()
    }

    #[cfg(unix)]
    fn lifeline(&self, claim: &ClaimRef) -> Result<Option<std::os::fd::OwnedFd>> {
        self.inner.lifeline(claim)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

fn unanswered(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why).with_landed(Landed::Maybe)
}
