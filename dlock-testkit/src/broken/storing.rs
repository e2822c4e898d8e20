//! Defects in what is stored, and in what is made of stored things that are no claims.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Error, ErrorKind, LockBackend, Metadata, Queue, Renewal, Requested, Result, Why,
    Withdrawn,
};

use super::locked;
use crate::Flaw;

/// Each release leaves something behind.
#[derive(Clone, Copy, Debug)]
pub struct LeavesTombstones;

#[async_trait]
impl Flaw for LeavesTombstones {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let withdrawn = inner.withdraw(claim, why).await?;
        let tombstone = Claim {
            id: ClaimId::random(),
            name: claim.name.clone(),
            mode: claim.mode,
            ttl: Duration::from_secs(3600),
            metadata: Metadata::default(),
        };
        inner.request(&tombstone, Queue::No).await?;
        Ok(withdrawn)
    }
}

/// Who made a claim is not stored.
#[derive(Clone, Copy, Debug)]
pub struct MetadataDropped;

#[async_trait]
impl Flaw for MetadataDropped {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(&Claim { metadata: Metadata::default(), ..claim.clone() }, queue).await
    }
}

/// What cannot be parsed is swept away by whoever wants the name next.
#[derive(Clone, Copy, Debug)]
pub struct DamageSweptAway;

#[async_trait]
impl Flaw for DamageSweptAway {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        for damaged in inner.inspect(&claim.name).await?.damaged {
            inner.clear_damage(&claim.name, &damaged).await?;
        }
        inner.request(claim, queue).await
    }
}

/// A renewal looks at the session only: a claim that is gone seems to live on.
#[derive(Debug, Default)]
pub struct GoneLooksAlive {
    last: Mutex<HashMap<ClaimId, Renewal>>,
}

#[async_trait]
impl Flaw for GoneLooksAlive {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        let (life, grant) = match answer {
            Requested::Held(grant, life) => (life, Some(grant)),
            Requested::Queued(life) => (life, None),
            Requested::Refused => return Ok(answer),
        };
        let alive = Renewal::Alive { life, grant, recheck: None };
        locked(&self.last).insert(claim.id, alive);
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        let mut last = locked(&self.last);
        for (claim, answer) in claims.iter().zip(&mut answers) {
            match answer {
                Ok(Renewal::Gone(_)) => {
                    if let Some(known) = last.get(&claim.id) {
                        *answer = Ok(with_fresh_life(*known));
                    }
                }
                Ok(alive) => drop(last.insert(claim.id, *alive)),
                Err(_) => {}
            }
        }
        answers
    }

    fn event(&self, event: dlock_core::Event) -> Option<dlock_core::Event> {
        (!matches!(event, dlock_core::Event::Gone(..))).then_some(event)
    }
}

/// Each claim has a connection of its own, which stays open, and there are a thousand of them.
#[derive(Debug, Default)]
pub struct ConnectionForEachClaim {
    open: AtomicUsize,
}

#[async_trait]
impl Flaw for ConnectionForEachClaim {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        if self.open.fetch_add(1, Ordering::SeqCst) >= 1000 {
            return Err(Error::new(ErrorKind::Exhausted, "too many connections"));
        }
        inner.request(claim, queue).await
    }
}

fn with_fresh_life(renewal: Renewal) -> Renewal {
    match renewal {
        Renewal::Alive { life, grant, recheck } => Renewal::Alive {
            life: dlock_core::Life { sent_at: dlock_core::Clock::system().now(), ..life },
            grant,
            recheck,
        },
        gone => gone,
    }
}
