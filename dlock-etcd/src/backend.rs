//! The backend: the contract of dlock-core, in etcd's terms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Capabilities, Capability, Claim, ClaimId, ClaimRef, Contention, DamagedEntry, Error, ErrorKind, Event,
    FastPath, Gone, Grant, Landed, Life, LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Namespace, Page,
    Queue, Renewal, Requested, Result, TokenGuarantee, TtlBounds, Why, Withdrawn,
};
use etcd_client::{GetOptions, Txn, TxnOp};
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant as Deadline;

use crate::acquire::{Placed, blocked, place};
use crate::claims::{Claims, Standing};
use crate::downgrade::downgrade;
use crate::error::Effect;
use crate::express::Express;
use crate::keys::{Keys, NameKeys, Seat, Section};
use crate::lease::Lease;
use crate::leases::{LeaseUse, Leases};
use crate::position::{Position, look};
use crate::rpc::{Rpc, token};
use crate::seats::Seats;
use crate::settling::{Settling, watch_settled};
use crate::turn::attend;
use crate::watch::WatchHub;

/// The name in URLs and messages.
pub(crate) const SCHEME: &str = "etcd";

/// etcd takes at most 128 operations in a transaction (`--max-txn-ops`).
const CHECKS_PER_TRANSACTION: usize = 100;

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

    /// The claim's answer when it is registered already.
    async fn again(&self, standing: &Arc<Standing>, until: Deadline) -> Result<Requested> {
        let life = standing.lease().life();
        let view = look(&self.inner.rpc, standing, false, until).await?;
        match view.seen {
            Ok(Position::Held) => Ok(Requested::Held(self.inner.granted(standing, view.cluster), life)),
            Ok(_) => Ok(Requested::Queued(life)),
            Err(gone) => {
                self.inner.forget(standing);
                Err(Error::new(ErrorKind::Lost, format!("the claim {} is gone ({gone:?})", standing.id)))
            }
        }
    }

    /// Places a claim, in the seat and on the lease of an earlier request of it whose outcome is not
    /// known, so that both put the same.
    async fn place(&self, claim: &Claim, queue: Queue, until: Deadline) -> Result<(Placed, Seat, LeaseUse)> {
        let Inner { keys, claims, seats, .. } = &*self.inner;
        let earlier = claims.unsettled_claim(claim.id);
        let seat = earlier.as_ref().map_or_else(|| seats.take(), |earlier| earlier.seat);
        let placed = self.place_in(seat, &keys.name(&claim.name), claim, queue, until).await;
        let is_free = match &placed {
            Ok((placed, _)) => matches!(placed, Placed::Refused),
            Err(error) => error.landed() == Landed::No,
        };
        if is_free && earlier.is_none() {
            seats.give_back(seat);
        }
        placed.map(|(placed, lease)| (placed, seat, lease))
    }

    async fn place_in(
        &self,
        seat: Seat,
        keys: &NameKeys,
        claim: &Claim,
        queue: Queue,
        until: Deadline,
    ) -> Result<(Placed, LeaseUse)> {
        let Inner { rpc, leases, claims, .. } = &*self.inner;
        let mut left = 2;
        loop {
            let earlier = claims.unsettled_claim(claim.id).and_then(|earlier| earlier.lease);
            let lease_use = match earlier.filter(|lease| !lease.is_ended()).and_then(|lease| leases.hold(&lease)) {
                Some(place) => place,
                None => leases.take(claim.ttl, until).await?,
            };
            let lease = lease_use.lease().clone();
            let error = match place(rpc, keys, claim, (seat, lease.id), queue, until).await {
                Ok(placed) => return Ok((placed, lease_use)),
                Err(error) => error,
            };
            left -= 1;
            if error.kind() == ErrorKind::Lost && left > 0 {
                // Revoked or lapsed behind our back: its claims find out by their own keys.
                lease.set_ended();
                continue;
            }
            if error.landed() == Landed::Maybe {
                claims.doubt(claim.id, seat, lease);
            }
            return Err(error);
        }
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
        let until = self.inner.rpc.deadline();
        if let Some(standing) = self.inner.claims.get(claim.id) {
            return self.again(&standing, until).await;
        }
        let (placed, seat, lease) = self.place(claim, queue, until).await?;
        let (created, new) = match placed {
            Placed::Refused => {
                self.inner.contention.met(&claim.name);
                return Ok(Requested::Refused);
            }
            Placed::New { created, cluster, position } => (created, Some((position, cluster))),
            Placed::Found { created } => (created, None),
        };
        let keys = self.inner.keys.name(&claim.name);
        let place = (keys, Section::Plain(claim.mode), seat);
        let identity = (claim.id, claim.name.clone());
        let standing = Arc::new(Standing::new(identity, place, created, claim.to_record(), lease));
        let (position, cluster, revision) = match new {
            Some((position, cluster)) => (position, cluster, created),
            None => {
                let view = look(&self.inner.rpc, &standing, true, until).await.inspect_err(|_| {
                    self.inner.claims.doubt(claim.id, seat, standing.lease().clone());
                });
                let view = view.map_err(|error| error.with_landed(Landed::Maybe))?;
                match view.seen {
                    Ok(position) => (position, view.cluster, view.revision),
                    Err(gone) => {
                        return Err(Error::new(ErrorKind::Lost, format!("the claim {} is gone ({gone:?})", claim.id)));
                    }
                }
            }
        };
        let life = standing.lease().life();
        match position {
            Position::Held => {
                let grant = Grant { token: token(cluster, standing.order), predecessor: None };
                standing.set_grant(grant);
                self.inner.claims.add(standing.clone());
                attend(&self.inner, &standing, None);
                Ok(Requested::Held(grant, life))
            }
            Position::Blocked(key, _) => {
                self.take_back(claim, &standing, until).await?;
                Err(blocked(&standing.keys, &key))
            }
            _ if queue == Queue::No => {
                self.take_back(claim, &standing, until).await?;
                Ok(Requested::Refused)
            }
            waits => {
                self.inner.contention.met(&claim.name);
                self.inner.claims.add(standing.clone());
                attend(&self.inner, &standing, Some((waits, revision)));
                Ok(Requested::Queued(life))
            }
        }
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let until = self.inner.rpc.deadline();
        let standing: Vec<_> = claims.iter().map(|claim| self.inner.claims.get(claim.id)).collect();
        let leases: BTreeMap<i64, Arc<Lease>> =
            standing.iter().flatten().map(|one| (one.lease().id, one.lease().clone())).collect();
        let pings = leases.values().map(|lease| lease.keep_alive(&self.inner.rpc, until));
        let answers = futures::future::join_all(pings).await;
        let lives: BTreeMap<i64, Result<Life>> = leases.keys().copied().zip(answers).collect();
        // After the keep-alives: it shows that who answered them still leads.
        let gone = self.check(&standing.iter().flatten().collect::<Vec<_>>(), until).await;
        let renewal = |one: &Option<Arc<Standing>>| {
            let Some(one) = one else { return Ok(Renewal::Gone(Gone::Absent)) };
            let alive = match lives.get(&one.lease().id) {
                Some(Err(error)) if error.kind() == ErrorKind::Lost => Err(Gone::Session),
                Some(Err(error)) => return Err(error.clone()),
                _ => match gone.as_ref().map_err(Error::clone)?.get(&one.id) {
                    Some(gone) => Err(*gone),
                    None => Ok(one.lease().life()),
                },
            };
            Ok(match alive {
                Ok(life) => Renewal::Alive { life, grant: one.grant(), recheck: None },
                Err(gone) => {
                    self.inner.forget(one);
                    Renewal::Gone(gone)
                }
            })
        };
        standing.iter().map(renewal).collect()
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

impl EtcdBackend {
    /// Removes a key that was put for nothing.
    async fn take_back(&self, claim: &Claim, standing: &Standing, until: Deadline) -> Result<()> {
        let removed = self.inner.rpc.delete(until, standing.key()).await;
        if let Err(error) = removed {
            self.inner.claims.doubt(claim.id, standing.seat, standing.lease().clone());
            return Err(error.with_landed(Landed::Maybe));
        }
        if self.inner.claims.unsettled_claim(claim.id).is_none() {
            self.inner.seats.give_back(standing.seat);
        }
        Ok(())
    }

    /// Checks the keys that no watch stands on, and at least one: a lease that lives says nothing of
    /// the keys on it. Answers for the claims that are gone, or could not be checked.
    ///
    /// # Errors
    /// When a majority did not answer. A leader that is stuck or cut off goes on answering keep-alives,
    /// though leases end under the next one, before etcd 3.4.31 and 3.5.13; it cannot answer this.
    async fn check(&self, standing: &[&Arc<Standing>], until: Deadline) -> Result<BTreeMap<ClaimId, Gone>> {
        let mut read: Vec<_> = standing.iter().copied().filter(|one| !one.is_watched()).collect();
        if read.is_empty() {
            read.extend(standing.first());
        }
        let checks = read.chunks(CHECKS_PER_TRANSACTION).map(|some| self.check_some(some, until));
        let gone = futures::future::try_join_all(checks).await?;
        Ok(gone.into_iter().flatten().collect())
    }

    async fn check_some(&self, some: &[&Arc<Standing>], until: Deadline) -> Result<Vec<(ClaimId, Gone)>> {
        let before: Vec<_> = some.iter().map(|one| (one.moves(), one.expected())).collect();
        let gets = some.iter().map(|one| TxnOp::get(one.key(), Some(GetOptions::new().with_keys_only())));
        let txn = Txn::new().and_then(gets.collect::<Vec<_>>());
        let answer = self.inner.rpc.txn(until, Effect::Read, txn).await?;
        let mut lost = Vec::new();
        for (index, (one, (moves, expected))) in some.iter().zip(before).enumerate() {
            let seen = expected.check(answer.range(index)?.kvs().first());
            // A conversion that is under way finds out for itself what becomes of the claim.
            let moving = !moves.is_multiple_of(2) || one.moves() != moves;
            match seen {
                _ if moving => {}
                Ok(()) => one.set_seen_at(answer.revision),
                Err(gone) => lost.push((one.id, gone)),
            }
        }
        Ok(lost)
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
