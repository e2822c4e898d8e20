//! Defects in how permits are counted.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Event, LockBackend, Mode, Queue, Renewal, Requested, Result, Why, Withdrawn,
};

use super::locked;
use crate::Flaw;

/// One permit more is given out than there are.
#[derive(Clone, Copy, Debug)]
pub struct OneTooMany;

#[async_trait]
impl Flaw for OneTooMany {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let mode = match claim.mode {
            Mode::Permit { limit } => Mode::Permit { limit: limit.saturating_add(1) },
            other => other,
        };
        inner.request(&Claim { mode, ..claim.clone() }, queue).await
    }
}

/// A claim with another limit is quietly given the one in use.
#[derive(Clone, Copy, Debug)]
pub struct TakesTheLimitInUse;

#[async_trait]
impl Flaw for TakesTheLimitInUse {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let state = inner.inspect(&claim.name).await?;
        let in_use = state.holders.first().map(|holder| holder.claim.mode);
        inner.request(&Claim { mode: in_use.unwrap_or(claim.mode), ..claim.clone() }, queue).await
    }
}

/// A claim with another limit is refused, but only after it took its place in the line.
#[derive(Clone, Copy, Debug)]
pub struct RefusesTooLate;

#[async_trait]
impl Flaw for RefusesTooLate {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await;
        let (Err(_), Mode::Permit { .. }) = (&answer, claim.mode) else { return answer };
        for limit in 1..9 {
            let mode = Mode::Permit { limit: NonZeroU32::new(limit).expect("it counts from one") };
            if inner.request(&Claim { mode, ..claim.clone() }, Queue::Yes).await.is_ok() {
                break;
            }
        }
        answer
    }
}

/// A waiter waits for the claim right before it, whichever permit comes free.
#[derive(Debug, Default)]
pub struct WaitsForItsNeighbour {
    neighbours: Mutex<HashMap<ClaimId, ClaimId>>,
}

impl WaitsForItsNeighbour {
    fn waits(&self, claim: ClaimId) -> bool {
        self.neighbours().contains_key(&claim)
    }

    fn neighbours(&self) -> MutexGuard<'_, HashMap<ClaimId, ClaimId>> {
        locked(&self.neighbours)
    }
}

#[async_trait]
impl Flaw for WaitsForItsNeighbour {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let Requested::Queued(_) = answer {
            let state = inner.inspect(&claim.name).await?;
            let line: Vec<ClaimId> = state.holders.iter().chain(&state.waiters).map(|one| one.claim.id).collect();
            let place = line.iter().position(|id| *id == claim.id);
            if let Some(before) = place.and_then(|place| line.get(place.checked_sub(1)?)) {
                self.neighbours().insert(claim.id, *before);
            }
        }
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (claim, answer) in claims.iter().zip(&mut answers) {
            if let Ok(Renewal::Alive { grant, .. }) = answer
                && self.waits(claim.id)
            {
                *grant = None;
            }
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.neighbours().retain(|_, before| *before != claim.id);
        inner.withdraw(claim, why).await
    }

    fn event(&self, event: Event) -> Option<Event> {
        match event {
            Event::Granted(claim, _) if self.waits(claim) => None,
            other => Some(other),
        }
    }
}
