//! Defects in what a withdrawal removes, and in what it answers.

use async_trait::async_trait;
use dlock_core::{ClaimRef, Error, ErrorKind, Event, LockBackend, Result, Why, Withdrawn};

use crate::Flaw;

/// A release only forgets the claim; the service is left to find out by the ttl.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseLeftToLapse;

#[async_trait]
impl Flaw for ReleaseLeftToLapse {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        match why {
            Why::Release => Ok(Withdrawn::Removed),
            _ => inner.withdraw(claim, why).await,
        }
    }
}

/// A release frees the name, whoever holds it.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseByName;

#[async_trait]
impl Flaw for ReleaseByName {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        match inner.inspect(&claim.name).await?.holders.first() {
            Some(holder) => inner.withdraw(&holder.claim, why).await,
            None => inner.withdraw(claim, why).await,
        }
    }
}

/// A withdrawal claims success without looking at what the service answered.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseAlwaysSucceeds;

#[async_trait]
impl Flaw for ReleaseAlwaysSucceeds {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        inner.withdraw(claim, why).await.map(|_| Withdrawn::Removed)
    }
}

/// A holder who releases hears of the deletion of its claim as of a loss.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseReportsLoss;

#[async_trait]
impl Flaw for ReleaseReportsLoss {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        inner.withdraw(claim, why).await?;
        Err(Error::new(ErrorKind::Lost, "the claim was deleted"))
    }
}

/// Only the client that made a claim can remove it; for anybody else a break does nothing.
#[derive(Clone, Copy, Debug)]
pub struct BreakIsIgnored;

#[async_trait]
impl Flaw for BreakIsIgnored {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        match why {
            Why::Break => Ok(Withdrawn::Removed),
            _ => inner.withdraw(claim, why).await,
        }
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(event).filter(|event| !matches!(event, Event::Gone(..)))
    }
}
