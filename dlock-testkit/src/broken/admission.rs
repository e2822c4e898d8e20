//! Defects in who is let in.

use std::collections::HashSet;
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{Claim, LockBackend, LockName, Queue, Requested, Result};

use super::locked;
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

/// A name that was refused once is remembered as held by others, and never looked at again.
#[derive(Debug, Default)]
pub struct RefusalSticks {
    refused: Mutex<HashSet<LockName>>,
}

#[async_trait]
impl Flaw for RefusalSticks {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let known = locked(&self.refused).contains(&claim.name);
        if known && queue == Queue::No {
            return Ok(Requested::Refused);
        }
        let answer = inner.request(claim, queue).await?;
        if answer == Requested::Refused {
            locked(&self.refused).insert(claim.name.clone());
        }
        Ok(answer)
    }
}
