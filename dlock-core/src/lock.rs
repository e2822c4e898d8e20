//! A named lock, ready to be acquired.

use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use futures::poll;
use tokio::sync::oneshot;

use crate::client::{Client, Start};
use crate::fast::Asking;
use crate::guard::Hold;
use crate::lease::Cell;
use crate::owner::Owner;
use crate::slot::{Attempt, Left, Slot, Step};
use crate::{Claim, ClaimId, Guard, LockName, Metadata, Mode, Queue, Result};

/// A name in a mode, ready to be acquired as often as you like. Cheap to clone.
///
/// From [`Locks`](crate::Locks) every acquire is an owner of its own: two tasks that share one
/// `Lock` exclude each other. From an [`Owner`] all acquires are that owner's, and reentrant.
#[derive(Clone, Debug)]
pub struct Lock {
    client: Arc<Client>,
    name: LockName,
    mode: Mode,
    ttl: Duration,
    /// The owner's standing on the name, or `None` when each acquire is its own owner.
    shared: Option<(Owner, Arc<Slot>)>,
}

impl Lock {
    pub(crate) fn new(client: Arc<Client>, name: LockName, mode: Mode, owner: Option<&Owner>) -> Self {
        let shared = owner.map(|owner| (owner.clone(), owner.slot(&name)));
        let ttl = client.settings.ttl;
        Self { client, name, mode, ttl, shared }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// How it will be held.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How long the service keeps the claim of a client that died.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The same lock with another ttl.
    ///
    /// # Errors
    /// `InvalidInput` when the backend does not take this ttl; the message names its bounds.
    pub fn with_ttl(self, ttl: Duration) -> Result<Self> {
        let ttl = self.client.info.ttl.check(ttl, self.client.info.scheme)?;
        Ok(Self { ttl, ..self })
    }

    /// The same lock with the ttl nearest to `ttl` that the backend takes.
    #[must_use]
    pub fn with_ttl_clamped(self, ttl: Duration) -> Self {
        let ttl = self.client.info.ttl.clamp(ttl);
        Self { ttl, ..self }
    }

    /// Waits in line until the name is held.
    ///
    /// ```
    /// # use dlock_core::{Locks, memory::Memory};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> dlock_core::Result<()> {
    /// let locks = Locks::connect(Memory::new()).await?;
    /// let guard = locks.lock("nightly-report")?.acquire().await?;
    /// println!("held with token {}", guard.token()?);
    /// guard.release().await?;
    /// # locks.close().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Mismatch`, `Damaged`, `Unsupported`, `OtherMode`, `ReentryLimit`, `Lost` (this owner's
    /// earlier lease), `Closed`, or what the service refuses with; `Unavailable` when it did not
    /// answer for the client's retry time. A refusal by others is never an error: it waits.
    ///
    /// # Cancel safety
    /// Safe: dropping the future leaves the line, and a grant that was under way is given back.
    /// Its place in the line is lost.
    pub async fn acquire(&self) -> Result<Guard> {
        loop {
            if let Some(guard) = self.obtain(Queue::Yes, None).await? {
                return Ok(guard);
            }
        }
    }

    /// Holds the name if nobody stands before, and answers `None` at once otherwise.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    ///
    /// # Cancel safety
    /// Safe, as [`Lock::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.obtain(Queue::No, None).await
    }

    /// Waits in line for at most `patience`; zero is [`Lock::try_acquire`]. Answers `None` when
    /// the time is up.
    ///
    /// # Errors
    /// As [`Lock::acquire`]; also `Unavailable` when the time is up and the service never answered.
    ///
    /// # Cancel safety
    /// Safe, as [`Lock::acquire`].
    pub async fn acquire_within(&self, patience: Duration) -> Result<Option<Guard>> {
        if patience.is_zero() {
            return self.try_acquire().await;
        }
        self.obtain(Queue::Yes, Some(patience)).await
    }

    async fn obtain(&self, queue: Queue, patience: Option<Duration>) -> Result<Option<Guard>> {
        let slot = match &self.shared {
            Some((_, slot)) => match slot.reenter(&self.name, self.mode) {
                Some(hold) => return hold.map(|hold| Some(Guard::new(hold))),
                None => slot.clone(),
            },
            None => Arc::new(Slot::new(1)),
        };
        let mut wish = Wish { lock: self, slot: &slot, joined: None };
        let mut alarm = None;
        loop {
            let changed = slot.changed.notified();
            let mut asking = None;
            match slot.step(&mut wish.joined, &self.name, self.mode, queue)? {
                Step::Hold(cell) => return Ok(Some(self.guard(&slot, cell))),
                Step::Refused if queue == Queue::No => return Ok(None),
                Step::Refused => continue,
                Step::Start(attempt) => match Asking::begin(&self.client, self.claim(&slot, attempt, queue)) {
                    Ok(mut begun) => {
                        if patience.is_none() || poll!(&mut begun).is_ready() {
                            begun.await;
                            continue;
                        }
                        asking = Some(begun);
                    }
                    Err(start) => self.start(start)?,
                },
                Step::Wait => {}
            }
            let Some(patience) = patience else {
                changed.await;
                continue;
            };
            let alarm = match &mut alarm {
                Some(alarm) => alarm,
                None => alarm.insert(self.client.alarm(patience)?),
            };
            let mut asked = OptionFuture::from(asking);
            tokio::select! {
                () = changed => {}
                Some(()) = &mut asked => {}
                _ = alarm => {
                    drop(asked);
                    return wish.give_up();
                }
            }
        }
    }

    fn guard(&self, slot: &Arc<Slot>, cell: Arc<Cell>) -> Guard {
        let hold = Arc::new(Hold { client: self.client.clone(), slot: slot.clone(), cell });
        if self.shared.is_some() {
            slot.remember(&hold);
        }
        Guard::new(hold)
    }

    fn claim(&self, slot: &Arc<Slot>, attempt: Arc<Attempt>, queue: Queue) -> Box<Start> {
        let label = self.shared.as_ref().map_or(&*self.client.settings.label, |(owner, _)| owner.label());
        let claim = Claim {
            id: ClaimId::random(),
            name: self.name.clone(),
            mode: self.mode,
            ttl: self.ttl,
            metadata: Metadata::of_this_process(label),
        };
        Box::new(Start { claim, queue, slot: slot.clone(), attempt })
    }

    fn start(&self, start: Box<Start>) -> Result<()> {
        let (slot, attempt) = (start.slot.clone(), start.attempt.clone());
        // Others of this owner may have joined the attempt by now.
        self.client.start(start).inspect_err(|error| slot.failed(&attempt, error.clone()))
    }
}

/// An acquire that has not come to its end. Dropping it leaves the attempt it counts on.
struct Wish<'a> {
    lock: &'a Lock,
    slot: &'a Arc<Slot>,
    joined: Option<Arc<Attempt>>,
}

impl Wish<'_> {
    /// The time is up: a grant that came at the last moment is taken, anything else is left.
    fn give_up(mut self) -> Result<Option<Guard>> {
        let Some(attempt) = self.joined.clone() else { return Ok(None) };
        match self.slot.step(&mut self.joined, &self.lock.name, self.lock.mode, Queue::Yes)? {
            Step::Hold(cell) => Ok(Some(self.lock.guard(self.slot, cell))),
            _ => attempt.last_error().map_or(Ok(None), Err),
        }
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = self.joined.take()
            && self.slot.leave(&attempt) == Left::Unused
        {
            self.lock.client.abandon(attempt);
        }
    }
}

/// Rings when the time is up.
pub(crate) type Alarm = oneshot::Receiver<()>;
