//! Defects in what becomes of claims that nobody wants any more.

use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{
    ClaimRef, Event, Grant, LockBackend, LockName, LockState, NamePage, NamePrefix, Page, Renewal, Result,
};
use dlock_core::{Why, Withdrawn};

use super::locked;
use crate::Flaw;

/// A waiter that goes away stays in line: only releases are carried out.
#[derive(Clone, Copy, Debug)]
pub struct CancelForgotten;

#[async_trait]
impl Flaw for CancelForgotten {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        match why {
            Why::Cancel => Ok(Withdrawn::Removed),
            _ => inner.withdraw(claim, why).await,
        }
    }
}

/// Leaving the line removes the claim from the queue only: one that was granted meanwhile, without
/// its client knowing, is nobody's.
#[derive(Clone, Copy, Debug)]
pub struct CancelMissesTheGranted;

#[async_trait]
impl Flaw for CancelMissesTheGranted {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let state = inner.inspect(&claim.name).await?;
        if why == Why::Cancel && state.holders.iter().any(|holder| holder.claim.id == claim.id) {
            return Ok(Withdrawn::Absent);
        }
        inner.withdraw(claim, why).await
    }

    fn event(&self, event: Event) -> Option<Event> {
        (!matches!(event, Event::Granted(..))).then_some(event)
    }
}

/// Behind a waiter that went away nobody is woken any more: the one after it watched the claim
/// that is gone.
#[derive(Debug, Default)]
pub struct CancelSeversTheLine {
    severed: Mutex<bool>,
}

impl CancelSeversTheLine {
    fn is_severed(&self) -> bool {
        *locked(&self.severed)
    }
}

#[async_trait]
impl Flaw for CancelSeversTheLine {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why == Why::Cancel {
            *locked(&self.severed) = true;
        }
        inner.withdraw(claim, why).await
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let answers = inner.renew(claims).await;
        if self.is_severed() { answers.into_iter().map(without_grant).collect() } else { answers }
    }

    fn event(&self, event: Event) -> Option<Event> {
        (!self.is_severed() || !matches!(event, Event::Granted(..))).then_some(event)
    }
}

/// A withdrawal is answered before it is carried out, and gets lost; and the claim lives on, on a
/// session that everybody's requests keep alive.
#[derive(Debug, Default)]
pub struct OrphansLiveOn {
    orphans: Mutex<Vec<ClaimRef>>,
}

impl OrphansLiveOn {
    async fn keep_alive(&self, inner: &dyn LockBackend) {
        let orphans = locked(&self.orphans).clone();
        drop(inner.renew(&orphans).await);
    }
}

#[async_trait]
impl Flaw for OrphansLiveOn {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why == Why::Break {
            return inner.withdraw(claim, why).await;
        }
        locked(&self.orphans).push(claim.clone());
        Ok(Withdrawn::Removed)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        self.keep_alive(inner).await;
        inner.renew(claims).await
    }

    async fn inspect(&self, inner: &dyn LockBackend, name: &LockName) -> Result<LockState> {
        self.keep_alive(inner).await;
        inner.inspect(name).await
    }

    async fn list(&self, inner: &dyn LockBackend, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.keep_alive(inner).await;
        inner.list(prefix, page).await
    }
}

/// The answer to a renewal as it would be for a claim that still waits.
pub(super) fn without_grant(answer: Result<Renewal>) -> Result<Renewal> {
    answer.map(|renewal| match renewal {
        Renewal::Alive { life, recheck, .. } => Renewal::Alive { life, grant: None::<Grant>, recheck },
        gone => gone,
    })
}
