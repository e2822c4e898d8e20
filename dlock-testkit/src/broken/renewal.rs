//! Defects in keeping claims alive.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Clock, Gone, Grant, Life, LockBackend, Metadata, Queue, Renewal, Requested, Result,
};

use super::locked;
use crate::Flaw;

/// A renewal only says that all is well; the service never hears of it.
#[derive(Debug, Default)]
pub struct RenewsNothing {
    grants: Mutex<HashMap<ClaimId, Grant>>,
}

#[async_trait]
impl Flaw for RenewsNothing {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let Requested::Held(grant, _) = answer {
            locked(&self.grants).insert(claim.id, grant);
        }
        Ok(answer)
    }

    async fn renew(&self, _inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let (now, grants) = (Clock::system().now(), locked(&self.grants));
        claims
            .iter()
            .map(|claim| {
                let grant = grants.get(&claim.id).copied();
                Ok(Renewal::Alive { life: Life::new(now, claim.ttl), grant, recheck: None })
            })
            .collect()
    }
}

/// A renewal of what is absent makes it anew.
#[derive(Clone, Copy, Debug)]
pub struct RenewalRecreates;

#[async_trait]
impl Flaw for RenewalRecreates {
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (answer, claim) in answers.iter_mut().zip(claims) {
            if let Ok(Renewal::Gone(_)) = answer {
                *answer = match inner.request(&claim_of(claim), Queue::Yes).await {
                    Ok(Requested::Held(grant, life)) => Ok(Renewal::Alive { life, grant: Some(grant), recheck: None }),
                    Ok(Requested::Queued(life)) => Ok(Renewal::Alive { life, grant: None, recheck: None }),
                    Ok(Requested::Refused) => Ok(Renewal::Gone(Gone::Absent)),
                    Err(error) => Err(error),
                };
            }
        }
        answers
    }
}

/// Each renewal writes all claims that this client ever made.
#[derive(Debug, Default)]
pub struct RenewsAllItEverMade {
    made: Mutex<Vec<Claim>>,
}

#[async_trait]
impl Flaw for RenewsAllItEverMade {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        locked(&self.made).push(claim.clone());
        inner.request(claim, queue).await
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let made = locked(&self.made).clone();
        for claim in made {
            if let Err(error) = inner.request(&claim, Queue::Yes).await {
                return vec![Err(error); claims.len()];
            }
        }
        inner.renew(claims).await
    }
}

/// A renewal that fails is taken for a loss.
#[derive(Clone, Copy, Debug)]
pub struct FailureIsLoss;

#[async_trait]
impl Flaw for FailureIsLoss {
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let answers = inner.renew(claims).await;
        answers.into_iter().map(|answer| answer.or(Ok(Renewal::Gone(Gone::Session)))).collect()
    }
}

/// Each renewal asks for the next one at once.
#[derive(Clone, Copy, Debug)]
pub struct RenewsWithoutPause;

#[async_trait]
impl Flaw for RenewsWithoutPause {
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let answers = inner.renew(claims).await;
        answers
            .into_iter()
            .map(|answer| match answer? {
                Renewal::Alive { life, grant, .. } => Ok(Renewal::Alive { life, grant, recheck: Some(Duration::ZERO) }),
                gone => Ok(gone),
            })
            .collect()
    }
}

fn claim_of(claim: &ClaimRef) -> Claim {
    let ClaimRef { id, name, mode, ttl } = claim.clone();
    Claim { id, name, mode, ttl, metadata: Metadata::of_this_process("") }
}
