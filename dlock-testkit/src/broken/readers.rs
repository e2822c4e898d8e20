//! Defects in how shared claims stand beside each other and beside exclusive ones.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Event, Gone, LockBackend, LockName, LockState, Mode, Queue, Renewal, Requested, Result,
    Why, Withdrawn,
};

use super::locked;
use crate::Flaw;

/// Readers are taken for writers.
#[derive(Clone, Copy, Debug)]
pub struct ReadersAlone;

#[async_trait]
impl Flaw for ReadersAlone {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(&Claim { mode: Mode::Exclusive, ..claim.clone() }, queue).await
    }
}

/// Some claims are registered where the others do not see them.
#[derive(Debug)]
pub struct Overlooks {
    who: Overlooked,
    aside: Mutex<HashSet<ClaimId>>,
}

/// Which claims overlook the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlooked {
    /// Readers and writers have a line each.
    WritersByReaders,
    /// A reader looks at who holds, not at who waits.
    WaitersByReaders,
    /// A writer looks for writers only.
    ReadersByWriters,
}

impl Overlooks {
    /// These overlook those.
    #[must_use]
    pub fn new(who: Overlooked) -> Self {
        Self { who, aside: Mutex::default() }
    }

    fn steps_aside(&self, claim: &Claim, state: &LockState) -> bool {
        let read = !state.holders.is_empty() && state.holders.iter().all(|holder| holder.claim.mode == Mode::Shared);
        match self.who {
            Overlooked::WritersByReaders => claim.mode == Mode::Shared,
            Overlooked::WaitersByReaders => claim.mode == Mode::Shared && read,
            Overlooked::ReadersByWriters => claim.mode == Mode::Exclusive && read,
        }
    }

    fn place(&self, claim: &ClaimRef) -> ClaimRef {
        let stands_aside = locked(&self.aside).contains(&claim.id);
        if stands_aside { ClaimRef { name: aside(&claim.name), ..claim.clone() } } else { claim.clone() }
    }
}

#[async_trait]
impl Flaw for Overlooks {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let state = inner.inspect(&claim.name).await?;
        if !self.steps_aside(claim, &state) {
            return inner.request(claim, queue).await;
        }
        locked(&self.aside).insert(claim.id);
        inner.request(&Claim { name: aside(&claim.name), ..claim.clone() }, queue).await
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let placed: Vec<ClaimRef> = claims.iter().map(|claim| self.place(claim)).collect();
        inner.renew(&placed).await
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        inner.withdraw(&self.place(claim), why).await
    }
}

/// When a writer goes, one of the readers behind it is admitted, and the next when that one goes.
#[derive(Debug, Default)]
pub struct OneReaderAtATime {
    line: Mutex<ReaderLine>,
}

#[derive(Debug, Default)]
struct ReaderLine {
    waited: HashMap<ClaimId, LockName>,
    admitted: HashMap<LockName, ClaimId>,
}

impl OneReaderAtATime {
    fn admits(&self, claim: ClaimId) -> bool {
        let mut line = self.line();
        let Some(name) = line.waited.get(&claim).cloned() else { return true };
        *line.admitted.entry(name).or_insert(claim) == claim
    }

    fn line(&self) -> MutexGuard<'_, ReaderLine> {
        locked(&self.line)
    }
}

#[async_trait]
impl Flaw for OneReaderAtATime {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if matches!(answer, Requested::Queued(_)) && claim.mode == Mode::Shared {
            self.line().waited.insert(claim.id, claim.name.clone());
        }
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (claim, answer) in claims.iter().zip(&mut answers) {
            if let Ok(Renewal::Alive { grant, .. }) = answer
                && grant.is_some()
                && !self.admits(claim.id)
            {
                *grant = None;
            }
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.line().admitted.retain(|_, admitted| *admitted != claim.id);
        inner.withdraw(claim, why).await
    }

    fn event(&self, event: Event) -> Option<Event> {
        match event {
            Event::Granted(claim, _) if !self.admits(claim) => None,
            other => Some(other),
        }
    }
}

/// All readers share one entry on the service, and it goes with the first that stops renewing.
#[derive(Debug, Default)]
pub struct OneEntryForAllReaders {
    readers: Mutex<HashMap<LockName, HashSet<ClaimId>>>,
}

impl OneEntryForAllReaders {
    fn of(&self, name: &LockName) -> HashSet<ClaimId> {
        self.readers().get(name).cloned().unwrap_or_default()
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<LockName, HashSet<ClaimId>>> {
        locked(&self.readers)
    }
}

#[async_trait]
impl Flaw for OneEntryForAllReaders {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if matches!(answer, Requested::Held(..)) && claim.mode == Mode::Shared {
            self.readers().entry(claim.name.clone()).or_default().insert(claim.id);
        }
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (claim, answer) in claims.iter().zip(&mut answers) {
            let readers = self.of(&claim.name);
            if !readers.contains(&claim.id) {
                continue;
            }
            let Ok(state) = inner.inspect(&claim.name).await else { continue };
            let holds = |reader: &ClaimId| state.holders.iter().any(|holder| holder.claim.id == *reader);
            if !readers.iter().all(holds) {
                let _ = inner.withdraw(claim, Why::Break).await;
                *answer = Ok(Renewal::Gone(Gone::Absent));
            }
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.readers().entry(claim.name.clone()).or_default().remove(&claim.id);
        inner.withdraw(claim, why).await
    }
}

fn aside(name: &LockName) -> LockName {
    format!("{name}~aside").parse().expect("names of cases leave room")
}
