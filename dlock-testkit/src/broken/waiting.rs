//! Defects in how a claim waits for its turn.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Error, ErrorKind, Event, Landed, LockBackend, Queue, Renewal, Requested, Result, Why,
};

use super::locked;
use crate::Flaw;

/// A request is answered only when it is granted, however long that takes.
#[derive(Clone, Copy, Debug)]
pub struct RequestWaitsForItsGrant;

#[async_trait]
impl Flaw for RequestWaitsForItsGrant {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let Requested::Queued(_) = answer { granted(inner, claim).await } else { Ok(answer) }
    }
}

/// A wait is one long request, which ends with the client library's timeout for requests.
#[derive(Clone, Copy, Debug)]
pub struct WaitIsCutByTheRequestTimeout;

#[async_trait]
impl Flaw for WaitIsCutByTheRequestTimeout {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        let Requested::Queued(_) = answer else { return Ok(answer) };
        let limit = inner.info().request_timeout;
        if let Ok(answer) = tokio::time::timeout(limit, granted(inner, claim)).await {
            return answer;
        }
        inner.withdraw(&claim.to_ref(), Why::Cancel).await?;
        let text = format!("the service did not answer within {limit:?}");
        Err(Error::new(ErrorKind::Unavailable, text).with_landed(Landed::Maybe))
    }
}

/// Who had to queue is never told that it holds: not by an event, and not by a renewal.
#[derive(Debug, Default)]
pub struct GrantIsNeverTold {
    queued: Mutex<HashSet<ClaimId>>,
}

impl GrantIsNeverTold {
    fn hides(&self, claim: ClaimId) -> bool {
        locked(&self.queued).contains(&claim)
    }
}

#[async_trait]
impl Flaw for GrantIsNeverTold {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let Requested::Queued(_) = answer {
            locked(&self.queued).insert(claim.id);
        }
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let answers = inner.renew(claims).await.into_iter().zip(claims);
        answers
            .map(|(answer, claim)| match answer {
                Ok(Renewal::Alive { life, recheck, .. }) if self.hides(claim.id) => {
                    Ok(Renewal::Alive { life, grant: None, recheck })
                }
                other => other,
            })
            .collect()
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(event).filter(|event| !matches!(event, Event::Granted(claim, _) if self.hides(*claim)))
    }
}

/// Asks again and again until the claim is held.
async fn granted(inner: &dyn LockBackend, claim: &Claim) -> Result<Requested> {
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        match inner.renew(&[claim.to_ref()]).await.swap_remove(0)? {
            Renewal::Alive { life, grant: Some(grant), .. } => return Ok(Requested::Held(grant, life)),
            Renewal::Alive { .. } => {}
            Renewal::Gone(_) => return Ok(Requested::Refused),
        }
    }
}
