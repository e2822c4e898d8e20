//! The fast path: a connection of the callers' own, on their runtime.

use std::future::Future;
use std::sync::Arc;

use dlock_core::{
    Claim, ClaimRef, ErrorKind, FastAnswer, FastPath, Grant, Landed, Life, Line, Lines, Result, Withdrawn,
};
use etcd_client::Client;
use futures::FutureExt;

use crate::acquire::taking;
use crate::backend::Inner;
use crate::claims::Standing;
use crate::cluster::Answered;
use crate::error::{Effect, Failure, Remedy, timed_out};
use crate::keys::{Seat, Section};
use crate::leases::LeaseUse;
use crate::rpc::{Answer, token};
use crate::withdraw::withdrawn;

/// Takes free names and gives them back, on leases that the keeper keeps alive. It is made for a
/// client that is busy, and whatever it cannot do is left to the keeper.
#[derive(Clone, Debug)]
pub(crate) struct Express {
    inner: Arc<Inner>,
    lines: Lines<Client>,
}

impl Express {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let lines = Lines::new(inner.rpc.timeout);
        Self { inner, lines }
    }

    /// The connections.
    pub(crate) fn lines(&self) -> &Lines<Client> {
        &self.lines
    }

    /// The connection of the runtime that this is called on.
    fn line(&self) -> Option<Arc<Line<Client>>> {
        let rpc = &self.inner.rpc;
        self.lines.line(rpc.generation(), || Some(rpc.dial_present()))
    }

    /// Waits for an answer, or for the line to be given up.
    async fn send<T: Answered>(
        &self,
        line: &Arc<Line<Client>>,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T> {
        let cluster = self.inner.rpc.cluster();
        let answer = line.answer(request).await.map_err(|landed| timed_out(Effect::Write).with_landed(landed))?;
        let failure = match answer {
            Ok(answer) => return self.inner.rpc.admit(cluster, &answer, Effect::Write).map(|()| answer),
            Err(error) => Failure::of(error, Effect::Write),
        };
        if failure.remedy == Remedy::NextMember {
            self.lines.give_up(line);
        }
        Err(failure.error)
    }
}

impl FastPath for Express {
    fn take(&self, claim: &Claim) -> Option<FastAnswer<(Grant, Life)>> {
        if self.inner.contention.is_on(&claim.name) {
            return None;
        }
        let line = self.line()?;
        let lease = self.inner.leases.take_fresh(claim.ttl)?;
        let seat = self.inner.seats.take();
        let (express, claim) = (self.clone(), claim.clone());
        let taking = async move {
            let inner = &express.inner;
            let (keys, record) = (inner.keys.name(&claim.name), claim.to_record());
            let txn = taking(&keys, claim.mode, record.clone(), (seat, lease.lease().id));
            let doubt = Doubt { inner, claim: &claim, seat, lease: &lease, is_over: false };
            let sent = express.send(&line, line.connection().kv_client().txn(txn)).await;
            match doubt.end(sent.and_then(|answer| Answer::read(answer, Effect::Write)))? {
                Some(answer) if answer.succeeded => {
                    let grant = Grant { token: token(answer.cluster, answer.revision), predecessor: None };
                    let (identity, life) = ((claim.id, claim.name.clone()), lease.lease().life());
                    let place = (keys, Section::Plain(claim.mode), seat);
                    let standing = Arc::new(Standing::new(identity, place, answer.revision, record, lease));
                    standing.set_grant(grant);
                    inner.claims.add(standing.clone());
                    // All claims of before may just have been voided.
                    if inner.rpc.cluster() != answer.cluster {
                        inner.forget(&standing);
                        return Ok(None);
                    }
                    inner.settling.add(&standing);
                    Ok(Some((grant, life)))
                }
                Some(_) => {
                    inner.contention.met(&claim.name);
                    inner.seats.give_back(seat);
                    Ok(None)
                }
                None => Ok(None),
            }
        };
        Some(taking.boxed())
    }

    fn give_back(&self, claim: &ClaimRef) -> Option<FastAnswer<Withdrawn>> {
        let standing = self.inner.claims.get(claim.id)?;
        // What is in doubt takes more than one request.
        if standing.moves() > 0 || self.inner.claims.unsettled_claim(claim.id).is_some() {
            return None;
        }
        let (line, express) = (self.line()?, self.clone());
        let giving = async move {
            let claims = &express.inner.claims;
            // First, so that the deletion is not taken for a loss.
            if claims.remove(standing.id).is_none() {
                return Ok(None);
            }
            claims.unsettle(standing.id, standing.seat);
            let mut kv = line.connection().kv_client();
            let deleted = express.send(&line, kv.delete(standing.key(), None)).await?.deleted();
            express.inner.vacate(&standing);
            Ok(Some(withdrawn(deleted > 0)))
        };
        Some(giving.boxed())
    }
}

/// A transaction that is under way. When it is dropped, or its outcome is not known, the claim's next
/// requests have to put the same.
struct Doubt<'a> {
    inner: &'a Inner,
    claim: &'a Claim,
    seat: Seat,
    lease: &'a LeaseUse,
    is_over: bool,
}

impl Doubt<'_> {
    /// `None` where another lease would do.
    fn end<T>(mut self, answer: Result<T>) -> Result<Option<T>> {
        match answer {
            Ok(answer) => {
                self.is_over = true;
                Ok(Some(answer))
            }
            Err(error) if error.landed() == Landed::Maybe => Err(error),
            Err(error) => {
                self.is_over = true;
                self.inner.seats.give_back(self.seat);
                if error.kind() != ErrorKind::Lost {
                    return Err(error);
                }
                // It has ended behind our back.
                self.lease.lease().set_ended();
                Ok(None)
            }
        }
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.claims.doubt(self.claim.id, self.seat, self.lease.lease().clone());
        }
    }
}
