//! How a lab reaches the service: every request is counted and passes the flaw, if there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Claim, ClaimRef, Connect, ConnectContext, DamagedEntry, Event, Grant, LockBackend, LockName,
    LockState, Mode, NamePage, NamePrefix, Page, Queue, Renewal, Requested, Result, Why, Withdrawn,
};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::{Faults, Flaw};

/// The requests that clients of one lab made, by kind.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicUsize,
    renewals: AtomicUsize,
    renewed_claims: AtomicUsize,
    withdrawals: AtomicUsize,
    others: AtomicUsize,
}

/// The requests made so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Calls of `request`.
    pub requests: usize,
    /// Calls of `renew`.
    pub renewals: usize,
    /// Claims in those calls.
    pub renewed_claims: usize,
    /// Calls of `withdraw`.
    pub withdrawals: usize,
    /// All other calls.
    pub others: usize,
}

impl Requests {
    /// The requests made so far.
    #[must_use]
    pub fn count(&self) -> Count {
        let read = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Count {
            requests: read(&self.0.requests),
            renewals: read(&self.0.renewals),
            renewed_claims: read(&self.0.renewed_claims),
            withdrawals: read(&self.0.withdrawals),
            others: read(&self.0.others),
        }
    }
}

/// A client of the subject, watched.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) client: Box<dyn Connect>,
    pub(crate) requests: Requests,
    pub(crate) flaw: Arc<dyn Flaw>,
    pub(crate) faults: Faults,
}

#[async_trait]
impl Connect for Reach {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        let inner = self.faults.before(self.client.connect(context).await?);
        let info = self.flaw.info(inner.info().clone());
        Ok(Arc::new(Reached { inner, info, requests: self.requests, flaw: self.flaw }))
    }
}

#[derive(Debug)]
struct Reached {
    inner: Arc<dyn LockBackend>,
    info: BackendInfo,
    requests: Requests,
    flaw: Arc<dyn Flaw>,
}

impl Reached {
    fn add(&self, which: impl FnOnce(&Counters) -> &AtomicUsize, how_many: usize) {
        which(&self.requests.0).fetch_add(how_many, Ordering::SeqCst);
    }
}

#[async_trait]
impl LockBackend for Reached {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        self.add(|all| &all.requests, 1);
        self.flaw.request(&*self.inner, claim, queue).await
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        self.add(|all| &all.renewals, 1);
        self.add(|all| &all.renewed_claims, claims.len());
        self.flaw.renew(&*self.inner, claims).await
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.add(|all| &all.withdrawals, 1);
        self.flaw.withdraw(&*self.inner, claim, why).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        self.add(|all| &all.others, 1);
        self.flaw.convert(&*self.inner, claim, to).await
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.add(|all| &all.others, 1);
        self.flaw.inspect(&*self.inner, name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.add(|all| &all.others, 1);
        self.flaw.list(&*self.inner, prefix, page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.add(|all| &all.others, 1);
        self.flaw.clear_damage(&*self.inner, name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let flaw = self.flaw.clone();
        self.inner.events().filter_map(move |event| std::future::ready(flaw.event(event))).boxed()
    }

    #[cfg(unix)]
    fn lifeline(&self, claim: &ClaimRef) -> Result<Option<std::os::fd::OwnedFd>> {
        self.inner.lifeline(claim)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
