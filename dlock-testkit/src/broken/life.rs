//! Defects in how long a claim is said, or made, to live.

use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Claim, ClaimRef, Clock, Life, LockBackend, Queue, Renewal, Requested, Result, TtlBounds,
};

use crate::Flaw;

/// The service takes for seconds what was meant as milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct TtlInTheWrongUnit;

#[async_trait]
impl Flaw for TtlInTheWrongUnit {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let sent_at = Clock::system().now();
        let stored = Claim { ttl: claim.ttl * 1000, ..claim.clone() };
        let life = Life::new(sent_at, claim.ttl);
        Ok(match inner.request(&stored, queue).await? {
            Requested::Held(grant, _) => Requested::Held(grant, life),
            Requested::Queued(_) => Requested::Queued(life),
            Requested::Refused => Requested::Refused,
        })
    }
}

/// A life is counted from the moment its answer arrived.
#[derive(Clone, Copy, Debug)]
pub struct LifeFromItsAnswer;

#[async_trait]
impl Flaw for LifeFromItsAnswer {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        let life = Life::new(Clock::system().now(), claim.ttl);
        Ok(match answer {
            Requested::Held(grant, _) => Requested::Held(grant, life),
            Requested::Queued(_) => Requested::Queued(life),
            Requested::Refused => Requested::Refused,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let answers = inner.renew(claims).await.into_iter().zip(claims);
        let now = Clock::system().now();
        answers
            .map(|(answer, claim)| match answer? {
                Renewal::Alive { grant, recheck, .. } => {
                    Ok(Renewal::Alive { life: Life::new(now, claim.ttl), grant, recheck })
                }
                gone => Ok(gone),
            })
            .collect()
    }
}

/// What ttls the service takes is not declared.
#[derive(Clone, Copy, Debug)]
pub struct BoundsUndeclared;

impl Flaw for BoundsUndeclared {
    fn info(&self, info: BackendInfo) -> BackendInfo {
        BackendInfo { ttl: TtlBounds { min: Duration::ZERO, max: Duration::MAX }, ..info }
    }
}
