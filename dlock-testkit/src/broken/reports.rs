//! Defects in what is told about claims: to those who inspect and list, and to the next holder.

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimRef, Event, Grant, LockBackend, LockName, LockState, Metadata, NamePage, NamePrefix, Page, Predecessor,
    Queue, Renewal, Requested, Result,
};

use crate::Flaw;

/// Waiters are shown newest first.
#[derive(Clone, Copy, Debug)]
pub struct NewestFirst;

#[async_trait]
impl Flaw for NewestFirst {
    async fn inspect(&self, inner: &dyn LockBackend, name: &LockName) -> Result<LockState> {
        let mut state = inner.inspect(name).await?;
        state.waiters.reverse();
        Ok(state)
    }
}

/// What says who made a claim is not kept.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

#[async_trait]
impl Flaw for Anonymous {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(&Claim { metadata: Metadata::default(), ..claim.clone() }, queue).await
    }
}

/// Names are listed that begin like the prefix, wherever its last part ends.
#[derive(Clone, Copy, Debug)]
pub struct ListsByText;

#[async_trait]
impl Flaw for ListsByText {
    async fn list(&self, inner: &dyn LockBackend, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        let mut part = inner.list(&NamePrefix::root(), page).await?;
        let text = prefix.name().map_or("", LockName::as_str);
        part.names.retain(|name| name.as_str().starts_with(text));
        Ok(part)
    }
}

/// A listing ends with its first page.
#[derive(Clone, Copy, Debug)]
pub struct FirstPageOnly;

#[async_trait]
impl Flaw for FirstPageOnly {
    async fn list(&self, inner: &dyn LockBackend, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        Ok(NamePage { cursor: None, ..inner.list(prefix, page).await? })
    }
}

/// Whoever went is said to have released.
#[derive(Clone, Copy, Debug)]
pub struct EverybodyReleased;

impl EverybodyReleased {
    fn spoil(grant: Grant) -> Grant {
        Grant { predecessor: grant.predecessor.map(|_| Predecessor::Released), ..grant }
    }
}

#[async_trait]
impl Flaw for EverybodyReleased {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        Ok(match inner.request(claim, queue).await? {
            Requested::Held(grant, life) => Requested::Held(Self::spoil(grant), life),
            other => other,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for answer in &mut answers {
            if let Ok(Renewal::Alive { grant: Some(grant), .. }) = answer {
                *grant = Self::spoil(*grant);
            }
        }
        answers
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Granted(claim, grant) => Event::Granted(claim, Self::spoil(grant)),
            other => other,
        })
    }
}
