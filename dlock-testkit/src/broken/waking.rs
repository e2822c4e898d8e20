//! Defects in how waiters learn that it is their turn, and in whose turn it is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimRef, Error, ErrorKind, Event, Life, LockBackend, Queue, Renewal, Requested, Result, Ttl, Why, Withdrawn,
};

use super::cleanup::without_grant;
use super::locked;
use crate::Flaw;

/// A renewal never tells of a grant: a notification that got lost is lost for good.
#[derive(Clone, Copy, Debug)]
pub struct RenewalsHideGrants;

#[async_trait]
impl Flaw for RenewalsHideGrants {
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        inner.renew(claims).await.into_iter().map(without_grant).collect()
    }
}

/// Some waiters are never told that it is their turn, neither pushed nor by a renewal.
#[derive(Debug, Default)]
pub struct SomeAreForgotten {
    grants: AtomicUsize,
}

#[async_trait]
impl Flaw for SomeAreForgotten {
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        inner.renew(claims).await.into_iter().map(without_grant).collect()
    }

    fn event(&self, event: Event) -> Option<Event> {
        let forgotten = matches!(event, Event::Granted(..)) && self.grants.fetch_add(1, Ordering::SeqCst) % 10 == 9;
        (!forgotten).then_some(event)
    }
}

/// Every tenth waiter is let in beside the holder.
#[derive(Debug, Default)]
pub struct LetsSomeIn {
    requests: AtomicUsize,
}

#[async_trait]
impl Flaw for LetsSomeIn {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        let Requested::Queued(life) = answer else { return Ok(answer) };
        if self.requests.fetch_add(1, Ordering::SeqCst) % 10 != 9 {
            return Ok(answer);
        }
        let state = inner.inspect(&claim.name).await?;
        let token = state.holders.iter().find_map(|holder| holder.token);
        Ok(token.map_or(answer, |token| Requested::Held(dlock_core::Grant { token, predecessor: None }, life)))
    }
}

/// The newest waiter comes first.
#[derive(Debug, Default)]
pub struct ServesTheNewestFirst {
    waiting: Mutex<Vec<Claim>>,
}

#[async_trait]
impl Flaw for ServesTheNewestFirst {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let older = locked(&self.waiting).clone();
        for waiter in older.iter().filter(|waiter| waiter.name == claim.name) {
            inner.withdraw(&waiter.to_ref(), Why::Cancel).await?;
        }
        let answer = inner.request(claim, queue).await?;
        for waiter in older.iter().rev().filter(|waiter| waiter.name == claim.name) {
            inner.request(waiter, Queue::Yes).await?;
        }
        if let Requested::Queued(_) = answer {
            locked(&self.waiting).push(claim.clone());
        }
        Ok(answer)
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        locked(&self.waiting).retain(|waiter| waiter.id != claim.id);
        inner.withdraw(claim, why).await
    }
}

/// Waiters ask again and again, though the service would tell them.
#[derive(Clone, Copy, Debug)]
pub struct WaitersPoll;

#[async_trait]
impl Flaw for WaitersPoll {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let hasty = |life: Life| Life { ttl: Ttl::For(Duration::from_millis(900)), ..life };
        Ok(match inner.request(claim, queue).await? {
            Requested::Queued(life) => Requested::Queued(hasty(life)),
            answer => answer,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let hasty = |answer| match answer {
            Ok(Renewal::Alive { life, grant: None, .. }) => {
                Ok(Renewal::Alive { life, grant: None, recheck: Some(Duration::from_millis(20)) })
            }
            answer => answer,
        };
        inner.renew(claims).await.into_iter().map(hasty).collect()
    }
}

/// Only one claim is renewed by a request, whatever was asked.
#[derive(Clone, Copy, Debug)]
pub struct RenewsSingly;

#[async_trait]
impl Flaw for RenewsSingly {
    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(&claims[..claims.len().min(1)]).await;
        answers.resize_with(claims.len(), || Err(Error::new(ErrorKind::Unavailable, "one claim at a time")));
        answers
    }
}
