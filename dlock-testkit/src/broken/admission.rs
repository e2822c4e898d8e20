//! Defects in who is let in.

use async_trait::async_trait;
use dlock_core::{Claim, LockBackend, Queue, Requested, Result};

use crate::Flaw;

/// A try that is refused stays in line.
#[derive(Clone, Copy, Debug)]
pub struct TryQueues;

#[async_trait]
impl Flaw for TryQueues {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        match (inner.request(claim, Queue::Yes).await?, queue) {
            (Requested::Queued(_), Queue::No) => Ok(Requested::Refused),
            (answer, _) => Ok(answer),
        }
    }
}
