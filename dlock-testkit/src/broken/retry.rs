//! Defects in repeating a request whose answer was lost.

use async_trait::async_trait;
use dlock_core::{Claim, ClaimId, LockBackend, Queue, Requested, Result};

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
