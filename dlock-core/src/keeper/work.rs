use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{Answer, Keeper};
use crate::{
    Capability, ClaimId, ClaimRef, Clock, DamagedEntry, Error, ErrorKind, Grant, Instant, Landed, Life, LockBackend,
    LockName, LockState, NamePage, NamePrefix, Page, Renewal, Requested, Result, Withdrawn,
};

/// A request to the backend that came to its end.
pub(crate) enum Done {
    Requested(ClaimId, Result<Requested>),
    Taken(ClaimId, Result<Option<(Grant, Life)>>),
    Renewed(Vec<(ClaimId, bool, Result<Renewal>)>),
    Withdrawn(ClaimId, Result<Withdrawn>),
    Converted(ClaimId, Result<Grant>, Answer<()>),
    Broken(ClaimId, Result<Withdrawn>, Answer<Withdrawn>),
    Answered,
}

/// A panic of a backend is an error with unknown outcome, not the end of the keeper.
pub(crate) async fn guarded<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// The same for what does not wait.
pub(crate) fn unpanicked<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(ErrorKind::Internal, format!("the backend panicked: {text}")).with_landed(Landed::Maybe)
}

/// The rest of the service's surface: requests that no claim of this client depends on.
impl Keeper {
    pub(crate) fn inspect(&mut self, name: LockName, reply: Answer<LockState>) {
        self.ask(reply, |backend| async move { backend.inspect(&name).await });
    }

    pub(crate) fn list(&mut self, prefix: NamePrefix, page: Page, reply: Answer<NamePage>) {
        if let Err(error) = self.require(Capability::List) {
            return drop(reply.send(Err(error)));
        }
        self.ask(reply, |backend| async move { backend.list(&prefix, page).await });
    }

    pub(crate) fn clear_damage(&mut self, name: LockName, entry: DamagedEntry, reply: Answer<Withdrawn>) {
        self.ask(reply, |backend| async move { backend.clear_damage(&name, &entry).await });
    }

    pub(crate) fn break_claim(&mut self, claim: ClaimRef, reply: Answer<Withdrawn>) {
        if let Err(error) = self.require(Capability::Break) {
            return drop(reply.send(Err(error)));
        }
        let backend = self.backend.clone();
        self.work.spawn(async move {
            let answer = guarded(async { backend.withdraw(&claim, crate::Why::Break).await }).await;
            Done::Broken(claim.id, answer, reply)
        });
    }

    pub(crate) fn broken(&mut self, claim: ClaimId, answer: Result<Withdrawn>, reply: Answer<Withdrawn>) {
        if answer.is_ok() {
            // It may be one that a caller has just taken.
            self.event(crate::Event::Gone(claim, crate::Gone::Absent));
        }
        let _ = reply.send(answer);
    }

    #[cfg(unix)]
    pub(crate) fn lifeline(&mut self, claim: ClaimId, reply: Answer<Option<std::os::fd::OwnedFd>>) {
        let answer = match self.claims.get_mut(claim) {
            Some(entry) => unpanicked(|| self.backend.lifeline(&entry.claim.to_ref())),
            None => Err(Error::new(ErrorKind::Lost, "the lease is gone")),
        };
        let _ = reply.send(answer);
    }

    /// Rings at `at`, unless nobody listens any more. Callers need no timer of their own runtime.
    pub(crate) fn alarm(&mut self, at: Instant, mut ring: oneshot::Sender<()>) {
        let clock: Clock = self.clock.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = clock.sleep_until(at) => drop(ring.send(())),
                () = ring.closed() => {}
            }
        });
    }

    pub(crate) fn require(&self, capability: Capability) -> Result<()> {
        self.info.capabilities.require(capability, self.info.scheme)
    }

    /// Sends off a request about one claim.
    pub(crate) fn spawn<F>(&mut self, span: tracing::Span, work: impl FnOnce(Arc<dyn LockBackend>) -> F)
    where
        F: Future<Output = Done> + Send + 'static,
    {
        self.work.spawn(work(self.backend.clone()).instrument(span));
    }

    fn ask<T, F>(&mut self, reply: Answer<T>, work: impl FnOnce(Arc<dyn LockBackend>) -> F)
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let backend = self.backend.clone();
        let asked = work(backend);
        self.work.spawn(async move {
            let _ = reply.send(guarded(asked).await);
            Done::Answered
        });
    }
}
