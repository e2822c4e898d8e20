//! Defects in what is made of a service that fails, or refuses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimRef, Clock, Error, ErrorKind, Grant, Landed, Life, LockBackend, Queue, Renewal, Requested, Result,
    Token, Why, Withdrawn,
};

use super::locked;
use crate::Flaw;

/// A service that does not answer is given up for good, by whom it might serve a moment later.
#[derive(Clone, Copy, Debug)]
pub struct GivesUpAtOnce;

#[async_trait]
impl Flaw for GivesUpAtOnce {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(claim, queue).await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable => Error::new(ErrorKind::Internal, "given up").with_landed(Landed::Maybe),
            _ => error,
        })
    }
}

/// After a request that was not answered no other works.
#[derive(Debug, Default)]
pub struct SpoiltByAFailure {
    is_spoilt: AtomicBool,
}

#[async_trait]
impl Flaw for SpoiltByAFailure {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        if self.is_spoilt.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Internal, "this connection is dead"));
        }
        let answer = inner.request(claim, queue).await;
        let failed = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
        self.is_spoilt.fetch_or(failed, Ordering::SeqCst);
        answer
    }
}

/// Where the service does not answer, the client grants.
#[derive(Clone, Copy, Debug)]
pub struct AnswersForTheService;

#[async_trait]
impl Flaw for AnswersForTheService {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        static MINTED: AtomicU64 = AtomicU64::new(1 << 40);
        let sent_at = Clock::system().now();
        match inner.request(claim, queue).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let token = Token { epoch: 1, value: MINTED.fetch_add(1, Ordering::SeqCst) };
                Ok(Requested::Held(Grant { token, predecessor: None }, Life::new(sent_at, claim.ttl)))
            }
            answer => answer,
        }
    }
}

/// What the service refuses is told as if it had not answered, and tried again and again.
#[derive(Clone, Copy, Debug)]
pub struct RefusalsLookLikeOutages;

#[async_trait]
impl Flaw for RefusalsLookLikeOutages {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(claim, queue).await.map_err(|error| match error.kind() {
            ErrorKind::Denied | ErrorKind::Exhausted => Error::new(ErrorKind::Unavailable, "no answer"),
            _ => error,
        })
    }
}

/// A request that was refused is told so, and made all the same when the service takes it.
#[derive(Debug, Default)]
pub struct RefusedIsTriedLater {
    refused: Mutex<Vec<Claim>>,
}

impl RefusedIsTriedLater {
    async fn try_again(&self, inner: &dyn LockBackend) {
        let refused = std::mem::take(&mut *locked(&self.refused));
        for claim in refused {
            if inner.request(&claim, Queue::Yes).await.is_err() {
                locked(&self.refused).push(claim);
            }
        }
    }
}

#[async_trait]
impl Flaw for RefusedIsTriedLater {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        self.try_again(inner).await;
        let answer = inner.request(claim, queue).await;
        if matches!(&answer, Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Exhausted)) {
            locked(&self.refused).push(claim.clone());
        }
        answer
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        self.try_again(inner).await;
        inner.renew(claims).await
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.try_again(inner).await;
        inner.withdraw(claim, why).await
    }
}
