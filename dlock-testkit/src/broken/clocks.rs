//! Defects in whose time counts.

use std::sync::OnceLock;
use std::time::SystemTime;

use async_trait::async_trait;
use dlock_core::{Claim, ClaimRef, Clock, Instant, Life, LockBackend, Queue, Renewal, Requested, Result};

use crate::Flaw;

/// A life is counted by the wall clock, which somebody may set.
#[derive(Clone, Copy, Debug)]
pub struct LivesByTheWallClock;

#[async_trait]
impl Flaw for LivesByTheWallClock {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let life = Life::new(now(), claim.ttl);
        Ok(match inner.request(claim, queue).await? {
            Requested::Held(grant, _) => Requested::Held(grant, life),
            Requested::Queued(_) => Requested::Queued(life),
            Requested::Refused => Requested::Refused,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let sent_at = now();
        let answers = inner.renew(claims).await.into_iter().zip(claims);
        answers
            .map(|(answer, claim)| match answer? {
                Renewal::Alive { grant, recheck, .. } => {
                    Ok(Renewal::Alive { life: Life::new(sent_at, claim.ttl), grant, recheck })
                }
                gone => Ok(gone),
            })
            .collect()
    }
}

/// What the right clock would show if the wall clock were right.
fn now() -> Instant {
    static BEGINNING: OnceLock<(Instant, SystemTime)> = OnceLock::new();
    let (instant, wall) = *BEGINNING.get_or_init(|| (Clock::system().now(), SystemTime::now()));
    match SystemTime::now().duration_since(wall) {
        Ok(since) => instant + since,
        Err(before) => instant.minus(before.duration()),
    }
}
