//! Defects in how long claims live.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use async_trait::async_trait;
use dlock_core::{Claim, ClaimId, ClaimRef, Life, LockBackend, LockName, Queue, Renewal, Requested, Result, Ttl, Why};
use dlock_core::{Predecessor, Withdrawn};

use super::cleanup::without_grant;
use super::locked;
use crate::Flaw;

/// The service keeps claims for two fifths of the ttl that it says it granted.
#[derive(Clone, Copy, Debug)]
pub struct ShortLived;

#[async_trait]
impl Flaw for ShortLived {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let short = Claim { ttl: claim.ttl * 2 / 5, ..claim.clone() };
        let long = |life: Life| Life { ttl: Ttl::For(claim.ttl), ..life };
        Ok(match inner.request(&short, queue).await? {
            Requested::Held(grant, life) => Requested::Held(grant, long(life)),
            Requested::Queued(life) => Requested::Queued(long(life)),
            Requested::Refused => Requested::Refused,
        })
    }
}

/// Each release waits anew for waiters that died long ago.
#[derive(Debug, Default)]
pub struct WaitsForTheDeadAgain {
    waiting: Mutex<HashMap<ClaimId, ClaimRef>>,
}

#[async_trait]
impl Flaw for WaitsForTheDeadAgain {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        locked(&self.waiting).insert(claim.id, claim.to_ref());
        inner.request(claim, queue).await
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let known: Vec<ClaimRef> = {
            let mut waiting = locked(&self.waiting);
            waiting.remove(&claim.id);
            waiting.values().filter(|other| other.name == claim.name).cloned().collect()
        };
        let state = inner.inspect(&claim.name).await?;
        let stands = |id| state.holders.iter().chain(&state.waiters).any(|there| there.claim.id == id);
        if known.iter().any(|other| !stands(other.id)) {
            tokio::time::sleep(claim.ttl).await;
        }
        inner.withdraw(claim, why).await
    }
}

/// The line moves on only when a holder releases: nobody comes after one that vanished.
#[derive(Clone, Copy, Debug)]
pub struct OnlyReleasesCount;

#[async_trait]
impl Flaw for OnlyReleasesCount {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        match inner.request(claim, queue).await? {
            Requested::Held(grant, life) if grant.predecessor == Some(Predecessor::Vanished) => {
                Ok(Requested::Queued(life))
            }
            answer => Ok(answer),
        }
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let after_vanished = |renewal: &Result<Renewal>| matches!(renewal, Ok(Renewal::Alive { grant: Some(grant), .. }) if grant.predecessor == Some(Predecessor::Vanished));
        let answers = inner.renew(claims).await.into_iter();
        answers.map(|answer| if after_vanished(&answer) { without_grant(answer) } else { answer }).collect()
    }

    fn event(&self, event: dlock_core::Event) -> Option<dlock_core::Event> {
        match event {
            dlock_core::Event::Granted(_, grant) if grant.predecessor == Some(Predecessor::Vanished) => None,
            event => Some(event),
        }
    }
}

/// Takes a claim that is older than its ttl for dead, though its process lives and keeps it.
#[derive(Debug, Default)]
pub struct TakesOldForDead {
    seen: Mutex<HashMap<LockName, Instant>>,
}

#[async_trait]
impl Flaw for TakesOldForDead {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let since = {
            let mut seen = locked(&self.seen);
            *seen.entry(claim.name.clone()).or_insert_with(Instant::now)
        };
        if since.elapsed() > claim.ttl {
            for holder in inner.inspect(&claim.name).await?.holders {
                inner.withdraw(&holder.claim, Why::Break).await?;
            }
        }
        inner.request(claim, queue).await
    }
}
