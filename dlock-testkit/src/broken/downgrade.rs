//! Defects in how a claim changes its mode.

use async_trait::async_trait;
use dlock_core::{Claim, ClaimRef, Error, ErrorKind, Grant, LockBackend, Metadata, Mode, Queue, Renewal, Result, Why};

use crate::Flaw;

/// A downgrade is answered, but the service is not told.
#[derive(Clone, Copy, Debug)]
pub struct OnlyAnswered;

#[async_trait]
impl Flaw for OnlyAnswered {
    async fn convert(&self, inner: &dyn LockBackend, claim: &ClaimRef, _to: Mode) -> Result<Grant> {
        present_grant(inner, claim).await
    }
}

/// A downgrade is a release followed by a request.
#[derive(Clone, Copy, Debug)]
pub struct ReleasesFirst;

#[async_trait]
impl Flaw for ReleasesFirst {
    async fn convert(&self, inner: &dyn LockBackend, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        let grant = present_grant(inner, claim).await?;
        inner.withdraw(claim, Why::Release).await?;
        let again = Claim {
            id: claim.id,
            name: claim.name.clone(),
            mode: to,
            ttl: claim.ttl,
            metadata: Metadata::of_this_process(""),
        };
        inner.request(&again, Queue::Yes).await?;
        Ok(grant)
    }
}

/// A claim changes its mode whatever the others hold, and in either direction.
#[derive(Clone, Copy, Debug)]
pub struct BothWays;

#[async_trait]
impl Flaw for BothWays {
    async fn convert(&self, inner: &dyn LockBackend, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        match to {
            Mode::Exclusive => present_grant(inner, claim).await,
            _ => inner.convert(claim, to).await,
        }
    }
}

async fn present_grant(inner: &dyn LockBackend, claim: &ClaimRef) -> Result<Grant> {
    match inner.renew(std::slice::from_ref(claim)).await.pop() {
        Some(Ok(Renewal::Alive { grant: Some(grant), .. })) => Ok(grant),
        Some(Err(error)) => Err(error),
        _ => Err(Error::new(ErrorKind::Lost, format!("{} is not held by this claim", claim.name))),
    }
}
