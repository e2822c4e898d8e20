//! Defects in repeating a request whose answer was lost.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{Claim, ClaimId, LockBackend, Queue, Requested, Result};

use super::locked;
use crate::Flaw;

/// The first answer is taken for lost, and the request repeated under a fresh id: the first claim
/// stays behind, and nobody knows of it.
#[derive(Clone, Copy, Debug)]
pub struct RetriesWithAFreshId;

#[async_trait]
impl Flaw for RetriesWithAFreshId {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        inner.request(&Claim { id: ClaimId::random(), ..claim.clone() }, Queue::Yes).await?;
        Ok(answer)
    }
}

/// A repeated request is answered from memory.
#[derive(Debug, Default)]
pub struct RemembersTheFirstAnswer {
    answers: Mutex<HashMap<ClaimId, Requested>>,
}

#[async_trait]
impl Flaw for RemembersTheFirstAnswer {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let known = locked(&self.answers).get(&claim.id).copied();
        let answer = inner.request(claim, queue).await?;
        locked(&self.answers).entry(claim.id).or_insert(answer);
        Ok(known.unwrap_or(answer))
    }
}

/// A repeated request makes one more entry, behind the first.
#[derive(Debug, Default)]
pub struct RepetitionsAdd {
    seen: Mutex<HashSet<ClaimId>>,
}

#[async_trait]
impl Flaw for RepetitionsAdd {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let is_new = locked(&self.seen).insert(claim.id);
        let id = if is_new { claim.id } else { ClaimId::random() };
        inner.request(&Claim { id, ..claim.clone() }, queue).await
    }
}
