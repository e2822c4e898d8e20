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
use crate::keys::Section;
use crate::leases::LeaseUse;
use crate::rpc::{Answer, token};

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
        let place = self.inner.leases.take_fresh(claim.ttl)?;
        let (express, claim) = (self.clone(), claim.clone());
        let taking = async move {
            let inner = &express.inner;
            let (keys, record) = (inner.keys.name(&claim.name), claim.to_record());
            let txn = taking(&keys, &claim, record.clone(), place.lease().id);
            let doubt = Doubt { inner, claim: &claim, place: &place, is_over: false };
            let sent = express.send(&line, line.connection().kv_client().txn(txn)).await;
            let answer = doubt.end(sent.and_then(|answer| Answer::read(answer, Effect::Write)));
            match answer {
                Ok(answer) if answer.succeeded => {
                    let (id, section) = ((claim.id, claim.name.clone()), Section::Plain(claim.mode));
                    let grant = Grant { token: token(answer.cluster, answer.revision), predecessor: None };
                    let life = place.lease().life();
                    let standing = Arc::new(Standing::new(id, keys, section, answer.revision, record, place));
                    standing.set_grant(grant);
                    inner.claims.add(standing.clone());
                    inner.settling.add(&standing);
                    Ok(Some((grant, life)))
                }
                Ok(_) => {
                    inner.contention.met(&claim.name);
                    Ok(None)
                }
                // The lease has ended behind our back: another will do.
                Err(error) if error.kind() == ErrorKind::Lost => {
                    place.lease().set_ended();
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        };
        Some(taking.boxed())
    }

    fn give_back(&self, claim: &ClaimRef) -> Option<FastAnswer<Withdrawn>> {
        let standing = self.inner.claims.get(claim.id)?;
        // What is in doubt takes more than one request.
        if standing.moves() > 0 || self.inner.claims.doubted(claim.id).is_some() {
            return None;
        }
        let (line, express) = (self.line()?, self.clone());
        let giving = async move {
            // First, so that the deletion is not taken for a loss.
            express.inner.claims.remove(standing.id);
            let mut kv = line.connection().kv_client();
            let deletion = kv.delete(standing.key(), None);
            let deleted = express.send(&line, deletion).await?.deleted();
            Ok(Some(if deleted > 0 { Withdrawn::Removed } else { Withdrawn::Absent }))
        };
        Some(giving.boxed())
    }
}

/// A transaction that is under way. When it is dropped, or its outcome is not known, the claim's next
/// requests have to stand on the same lease.
struct Doubt<'a> {
    inner: &'a Inner,
    claim: &'a Claim,
    place: &'a LeaseUse,
    is_over: bool,
}

impl Doubt<'_> {
    fn end<T>(mut self, answer: Result<T>) -> Result<T> {
        self.is_over = answer.as_ref().map_or_else(|error| error.landed() == Landed::No, |_| true);
        answer
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.claims.doubt(self.claim.id, self.place.lease().clone());
        }
    }
}
