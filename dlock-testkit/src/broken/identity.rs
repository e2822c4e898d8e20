//! Defects in telling owners apart.

use async_trait::async_trait;
use dlock_core::{Claim, Clock, Grant, Life, LockBackend, Metadata, Queue, Requested, Result, Why};

use crate::Flaw;

/// Claims with the same mark are taken for one owner's, and let in together.
#[derive(Clone, Copy, Debug)]
pub struct OwnerIs(fn(&Metadata) -> String);

/// The owner is the process.
#[must_use]
pub fn owner_is_the_process() -> OwnerIs {
    OwnerIs(|metadata| format!("{} {}", metadata.host, metadata.process))
}

/// The owner is its label.
#[must_use]
pub fn owner_is_the_label() -> OwnerIs {
    OwnerIs(|metadata| metadata.label.clone())
}

#[async_trait]
impl Flaw for OwnerIs {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let Requested::Held(..) = answer {
            return Ok(answer);
        }
        let state = inner.inspect(&claim.name).await?;
        let Some(holder) = state.holders.iter().find(|holder| (self.0)(&holder.metadata) == (self.0)(&claim.metadata))
        else {
            return Ok(answer);
        };
        inner.withdraw(&claim.to_ref(), Why::Cancel).await?;
        let token = holder.token.expect("a holder has a token");
        Ok(Requested::Held(Grant { token, predecessor: None }, Life::new(Clock::system().now(), claim.ttl)))
    }
}
