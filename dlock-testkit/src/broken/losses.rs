//! Defects in who hears that a claim is gone.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Clock, Event, Grant, Life, LockBackend, Queue, Renewal, Requested, Result, Why, Withdrawn,
};

use super::locked;
use crate::Flaw;

/// A claim that somebody else removed is still reported as alive to the client that made it.
#[derive(Debug, Default)]
pub struct Hidden {
    grants: Mutex<HashMap<ClaimId, Grant>>,
}

impl Hidden {
    fn remember(&self, claim: ClaimId, grant: Grant) {
        locked(&self.grants).insert(claim, grant);
    }

    fn grant(&self, claim: ClaimId) -> Option<Grant> {
        locked(&self.grants).get(&claim).copied()
    }
}

#[async_trait]
impl Flaw for Hidden {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let Requested::Held(grant, _) = answer {
            self.remember(claim.id, grant);
        }
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (claim, answer) in claims.iter().zip(&mut answers) {
            match answer {
                Ok(Renewal::Alive { grant: Some(grant), .. }) => self.remember(claim.id, *grant),
                Ok(Renewal::Gone(_)) => {
                    let life = Life::new(Clock::system().now(), claim.ttl);
                    *answer = Ok(Renewal::Alive { life, grant: self.grant(claim.id), recheck: None });
                }
                _ => {}
            }
        }
        answers
    }

    fn event(&self, event: Event) -> Option<Event> {
        match event {
            Event::Gone(..) => None,
            Event::Granted(claim, grant) => {
                self.remember(claim, grant);
                Some(event)
            }
            Event::Suspect(_) => Some(event),
        }
    }
}

/// A break ends whoever holds the name, not the claim that it names.
#[derive(Clone, Copy, Debug)]
pub struct BreaksWhoeverHolds;

#[async_trait]
impl Flaw for BreaksWhoeverHolds {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why != Why::Break {
            return inner.withdraw(claim, why).await;
        }
        match inner.inspect(&claim.name).await?.holders.first() {
            Some(holder) => inner.withdraw(&holder.claim, why).await,
            None => Ok(Withdrawn::Absent),
        }
    }
}

/// A break is carried out as if the holder had released.
#[derive(Clone, Copy, Debug)]
pub struct BreaksAsARelease;

#[async_trait]
impl Flaw for BreaksAsARelease {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, _why: Why) -> Result<Withdrawn> {
        inner.withdraw(claim, Why::Release).await
    }
}

/// Something goes on renewing the claims of clients that died.
#[derive(Debug, Default)]
pub struct RenewsTheDead {
    seen: Mutex<Vec<ClaimRef>>,
}

#[async_trait]
impl Flaw for RenewsTheDead {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        locked(&self.seen).push(claim.to_ref());
        inner.request(claim, queue).await
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut all = claims.to_vec();
        {
            let seen = locked(&self.seen);
            all.extend(seen.iter().filter(|claim| !claims.contains(claim)).cloned());
        }
        let mut answers = inner.renew(&all).await;
        answers.truncate(claims.len());
        answers
    }
}
