//! The backend: the contract of dlock-core, in etcd's terms.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Capabilities, Capability, Claim, ClaimRef, Contention, DamagedEntry, Error, ErrorKind, Event,
    FastPath, Gone, Grant, LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Namespace, Page, Queue,
    Renewal, Requested, Result, TokenGuarantee, TtlBounds, Why, Withdrawn,
};
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::claims::Claims;
use crate::downgrade::downgrade;
use crate::express::Express;
use crate::keys::{Keys, Section};
use crate::leases::Leases;
use crate::rpc::Rpc;
use crate::seats::Seats;
use crate::settling::{Settling, watch_settled};
use crate::watch::WatchHub;

/// The name in URLs and messages.
pub(crate) const SCHEME: &str = "etcd";

/// Claims on etcd.
#[derive(Debug)]
pub(crate) struct EtcdBackend {
    info: BackendInfo,
    inner: Arc<Inner>,
    express: Express,
    received: Mutex<Option<UnboundedReceiver<Event>>>,
    /// What is done all the time; it ends with the backend.
    tasks: Mutex<JoinSet<()>>,
}

/// What the tasks of a backend share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) rpc: Rpc,
    pub(crate) keys: Keys,
    pub(crate) leases: Arc<Leases>,
    pub(crate) claims: Claims,
    pub(crate) seats: Seats,
    pub(crate) settling: Arc<Settling>,
    pub(crate) contention: Contention,
    pub(crate) hub: WatchHub,
    pub(crate) events: UnboundedSender<Event>,
}

impl EtcdBackend {
    pub(crate) fn new(rpc: Rpc, namespace: &Namespace) -> Self {
        let (events, received) = unbounded_channel();
        let inner = Arc::new(Inner {
            keys: Keys::new(namespace),
            leases: Leases::new(rpc.clone()),
            claims: Claims::default(),
            seats: Seats::new(),
            settling: Arc::default(),
            contention: Contention::new(rpc.clock.clone()),
            hub: WatchHub::start(rpc.clone(), events.clone()),
            events,
            rpc,
        });
        let express = Express::new(inner.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_settled(Arc::downgrade(&inner)));
        tasks.spawn(express.lines().clone().watch());
        tasks.spawn(follow_cluster(Arc::downgrade(&inner)));
        let received = Mutex::new(Some(received));
        Self { info: info(inner.rpc.timeout), inner, express, received, tasks: Mutex::new(tasks) }
    }

    fn stop(&self) {
        self.express.lines().close();
        self.tasks.lock().expect("no panic while locked").abort_all();
        // The claims' tasks hold what they serve.
        self.inner.claims.clear();
    }
}

#[async_trait]
impl LockBackend for EtcdBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        self.info.capabilities.require(Capability::for_mode(claim.mode), SCHEME)?;
        self.info.ttl.check(claim.ttl, SCHEME)?;
        self.inner.request(claim, queue).await
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        self.inner.renew(claims).await
    }

    async fn withdraw(&self, claim: &ClaimRef, _why: Why) -> Result<Withdrawn> {
        self.inner.clone().withdraw(claim, self.inner.rpc.deadline()).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        let until = self.inner.rpc.deadline();
        let lost = || Error::new(ErrorKind::Lost, format!("the claim {} is not held", claim.id));
        let standing = self.inner.claims.get(claim.id).ok_or_else(lost)?;
        let grant = standing.grant().ok_or_else(lost)?;
        match (standing.section(), to) {
            (Section::Downgraded, Mode::Shared) => return Ok(grant),
            (Section::Plain(Mode::Exclusive), Mode::Shared) => {}
            (from, to) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("a claim changes from exclusive to shared only, not from {} to {to}", from.mode()),
                ));
            }
        }
        downgrade(&self.inner, &standing, until).await?.ok_or_else(lost)?;
        Ok(grant)
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        crate::inspect::inspect(&self.inner.rpc, &self.inner.keys, name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        crate::inspect::list(&self.inner.rpc, &self.inner.keys, prefix, &page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        crate::inspect::clear_damage(&self.inner.rpc, &self.inner.keys, name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        match self.received.lock().expect("no panic while locked").take() {
            Some(mut received) => futures::stream::poll_fn(move |context| received.poll_recv(context)).boxed(),
            None => futures::stream::empty().boxed(),
        }
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        Some(Arc::new(self.express.clone()))
    }

    async fn close(&self) -> Result<()> {
        self.inner.leases.close(self.inner.rpc.deadline()).await;
        self.stop();
        Ok(())
    }
}

impl Drop for EtcdBackend {
    fn drop(&mut self) {
        self.inner.leases.leave();
        self.stop();
    }
}

/// What a cluster that was restored or replaced still has of this client's claims was theirs in
/// another history: it voids them all.
async fn follow_cluster(inner: Weak<Inner>) {
    let Some(mut changes) = inner.upgrade().map(|inner| inner.rpc.cluster_changes()) else { return };
    while changes.changed().await.is_ok() {
        let Some(inner) = inner.upgrade() else { return };
        inner.seats.begin_anew();
        inner.leases.give_up();
        for standing in inner.claims.clear() {
            inner.claims.unsettle(standing.id, standing.seat);
            inner.tell(Event::Gone(standing.id, Gone::Session));
            standing.lease().retire();
        }
    }
}

fn info(request_timeout: Duration) -> BackendInfo {
    BackendInfo {
        scheme: SCHEME,
        capabilities: Capabilities::of(&[
            Capability::Exclusive,
            Capability::Shared,
            Capability::Permits,
            Capability::Downgrade,
            Capability::Fifo,
            Capability::Push,
            Capability::PushLoss,
            Capability::List,
            Capability::Break,
            Capability::CrossProcess,
            Capability::TokensSurviveRestart,
        ]),
        // A server grants no less than its longest election takes, 2 s by default.
        ttl: TtlBounds { min: Duration::from_secs(2), max: Duration::from_secs(30 * 24 * 3600) },
        // Whole seconds, rounded up, and a look for expired leases every 500 ms. (A leader change
        // refills every lease: a dead client's claim can then live a full ttl longer.)
        grace: Duration::from_secs(2),
        tokens: TokenGuarantee::Consensus,
        request_timeout,
        // The stream is found silent, opened anew, and every waiting claim looks again.
        missed_event_bound: Duration::from_secs(10),
    }
}
