//! One owner's standing on one name: idle, asking, or holding with a count of guards.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;

use crate::guard::Hold;
use crate::lease::Cell;
use crate::{ClaimId, Error, ErrorKind, LockName, Mode, Queue, Result};

/// Where reentrancy is decided. Shared by the lock handles and guards of one owner and by the
/// keeper, which reports what becomes of the attempt. Nothing here waits or talks to a service.
#[derive(Debug)]
pub(crate) struct Slot {
    state: Mutex<State>,
    /// Notified whenever an attempt gets on.
    pub(crate) changed: Notify,
    limit: u32,
}

#[derive(Debug)]
enum State {
    Idle,
    Pending { attempt: Arc<Attempt>, mode: Mode, queue: Queue, queued: bool, waiting: u32 },
    Held { attempt: Arc<Attempt>, cell: Arc<Cell>, mode: Mode, guards: u32, waiting: u32, hold: Weak<Hold> },
}

/// One attempt to come from idle to held. Several futures of one owner may wait for it.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// The claim that stands for it now; the keeper may replace one that got lost in the queue.
    claim: Mutex<Option<ClaimId>>,
    outcome: OnceLock<Outcome>,
    last_error: Mutex<Option<Error>>,
}

#[derive(Debug)]
enum Outcome {
    Granted,
    Refused,
    Failed(Error),
}

/// What an acquire has to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It holds: one more guard is counted.
    Hold(Arc<Cell>),
    /// It must ask the keeper for this attempt, and then wait for a change.
    Start(Arc<Attempt>),
    /// It must wait for a change.
    Wait,
    /// Others hold the name.
    Refused,
}

/// What is left to do after a guard or a waiting future went away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Others of this owner still count on the claim, or it is somebody else's business by now.
    InUse,
    /// Nobody does: the claim is to be withdrawn.
    Unused,
}

impl Slot {
    pub(crate) fn new(limit: u32) -> Self {
        Self { state: Mutex::new(State::Idle), changed: Notify::new(), limit }
    }

    /// Enters again what is held already. `None` when there is more to it than counting one up.
    pub(crate) fn reenter(&self, name: &LockName, mode: Mode) -> Option<Result<Arc<Hold>>> {
        let mut state = self.lock();
        let State::Held { hold, guards: 1.., .. } = &*state else { return None };
        let hold = hold.upgrade()?;
        Some(state.enter(name, mode, self.limit).map(|_| hold))
    }

    /// Lets later acquires share what the first guard holds.
    pub(crate) fn remember(&self, shared: &Arc<Hold>) {
        if let State::Held { cell, hold, .. } = &mut *self.lock()
            && Arc::ptr_eq(cell, &shared.cell)
        {
            *hold = Arc::downgrade(shared);
        }
    }

    /// Takes an acquire one step further. `joined` is the attempt it counts on already.
    pub(crate) fn step(
        &self,
        joined: &mut Option<Arc<Attempt>>,
        name: &LockName,
        mode: Mode,
        queue: Queue,
    ) -> Result<Step> {
        let mut state = self.lock();
        if let Some(attempt) = joined {
            match attempt.outcome.get() {
                None => return Ok(Step::Wait),
                Some(Outcome::Granted) => return state.collect(joined, name, self.limit),
                Some(Outcome::Failed(error)) => {
                    let error = error.clone();
                    *joined = None;
                    return Err(error);
                }
                Some(Outcome::Refused) => {
                    *joined = None;
                    return Ok(Step::Refused);
                }
            }
        }
        match &mut *state {
            State::Idle => {
                let attempt = Arc::new(Attempt::default());
                *state = State::Pending { attempt: attempt.clone(), mode, queue, queued: false, waiting: 1 };
                *joined = Some(attempt.clone());
                Ok(Step::Start(attempt))
            }
            State::Pending { mode: other, .. } if *other != mode => Err(other_mode(name, *other, mode)),
            State::Pending { queued: true, .. } if queue == Queue::No => Ok(Step::Refused),
            State::Pending { attempt, queue: Queue::Yes, waiting, .. } if queue == Queue::Yes => {
                *waiting += 1;
                *joined = Some(attempt.clone());
                Ok(Step::Wait)
            }
            State::Pending { .. } => Ok(Step::Wait),
            State::Held { .. } => state.enter(name, mode, self.limit).map(|cell| Step::Hold(cell.clone())),
        }
    }

    /// A future that counted on `attempt` went away without its guard.
    pub(crate) fn leave(&self, attempt: &Arc<Attempt>) -> Left {
        let mut state = self.lock();
        let left = match &mut *state {
            State::Pending { attempt: present, waiting, .. } if Arc::ptr_eq(present, attempt) => {
                *waiting -= 1;
                *waiting
            }
            State::Held { attempt: present, waiting, guards, .. } if Arc::ptr_eq(present, attempt) => {
                *waiting -= 1;
                *waiting + *guards
            }
            _ => return Left::InUse,
        };
        self.settle(&mut state, left)
    }

    /// A guard went away.
    pub(crate) fn drop_guard(&self, cell: &Cell) -> Left {
        let mut state = self.lock();
        let left = match &mut *state {
            State::Held { cell: present, guards, waiting, .. } if present.claim == cell.claim => {
                *guards -= 1;
                *guards + *waiting
            }
            _ => return Left::InUse,
        };
        self.settle(&mut state, left)
    }

    /// How many guards count on the claim.
    pub(crate) fn guards(&self) -> u32 {
        match &*self.lock() {
            State::Held { guards, .. } => *guards,
            _ => 0,
        }
    }

    pub(crate) fn set_mode(&self, claim: ClaimId, to: Mode) {
        if let State::Held { cell, mode, .. } = &mut *self.lock()
            && cell.claim == claim
        {
            *mode = to;
        }
    }

    /// From now on the claim is believed to be shared only, unless others of this owner count on
    /// it as exclusive. Answers whether it is.
    pub(crate) fn begin_downgrade(&self, claim: ClaimId) -> bool {
        match &mut *self.lock() {
            State::Held { cell, mode, guards: 1, waiting: 0, .. } if cell.claim == claim => {
                *mode = Mode::Shared;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn mode(&self) -> Option<Mode> {
        match &*self.lock() {
            State::Idle => None,
            State::Pending { mode, .. } | State::Held { mode, .. } => Some(*mode),
        }
    }

    /// The keeper reports that the claim stands in line.
    pub(crate) fn queued(&self, attempt: &Arc<Attempt>) {
        if let State::Pending { attempt: present, queued, .. } = &mut *self.lock()
            && Arc::ptr_eq(present, attempt)
        {
            *queued = true;
        }
        self.changed.notify_waiters();
    }

    /// The keeper reports that the claim is held. Answers whether anybody still wants it.
    pub(crate) fn granted(&self, attempt: &Arc<Attempt>, cell: &Arc<Cell>) -> bool {
        let mut state = self.lock();
        let State::Pending { attempt: present, mode, waiting, .. } = &*state else { return false };
        if !Arc::ptr_eq(present, attempt) {
            return false;
        }
        *state = State::Held {
            attempt: attempt.clone(),
            cell: cell.clone(),
            mode: *mode,
            guards: 0,
            waiting: *waiting,
            hold: Weak::new(),
        };
        attempt.finish(Outcome::Granted);
        drop(state);
        self.changed.notify_waiters();
        true
    }

    /// The keeper reports that others hold the name.
    pub(crate) fn refused(&self, attempt: &Arc<Attempt>) {
        self.end(attempt, Outcome::Refused);
    }

    /// The keeper gives the attempt up.
    pub(crate) fn failed(&self, attempt: &Arc<Attempt>, error: Error) {
        self.end(attempt, Outcome::Failed(error));
    }

    /// Takes a grant back that nobody has collected. Answers whether it did.
    pub(crate) fn take_back(&self, attempt: &Arc<Attempt>) -> bool {
        let mut state = self.lock();
        match &*state {
            State::Held { attempt: present, guards: 0, .. } if Arc::ptr_eq(present, attempt) => {
                *state = State::Idle;
                drop(state);
                self.changed.notify_waiters();
                true
            }
            _ => false,
        }
    }

    fn end(&self, attempt: &Arc<Attempt>, outcome: Outcome) {
        let mut state = self.lock();
        attempt.finish(outcome);
        if let State::Pending { attempt: present, .. } = &*state
            && Arc::ptr_eq(present, attempt)
        {
            *state = State::Idle;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn settle(&self, state: &mut State, left: u32) -> Left {
        if left > 0 {
            return Left::InUse;
        }
        *state = State::Idle;
        self.changed.notify_waiters();
        Left::Unused
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts one more guard on what is held.
    fn enter(&mut self, name: &LockName, wanted: Mode, limit: u32) -> Result<&Arc<Cell>> {
        let Self::Held { cell, mode, guards, .. } = self else {
            return Err(Error::new(ErrorKind::Lost, format!("{name} is not held")));
        };
        cell.check()?;
        if *mode != wanted {
            return Err(other_mode(name, *mode, wanted));
        }
        if *guards >= limit {
            return Err(too_many(name, *guards));
        }
        *guards += 1;
        Ok(cell)
    }

    /// Turns a wait for a granted attempt into a guard. A grant that was taken back meanwhile is
    /// asked for anew.
    fn collect(&mut self, joined: &mut Option<Arc<Attempt>>, name: &LockName, limit: u32) -> Result<Step> {
        let attempt = joined.take();
        match self {
            Self::Held { attempt: present, cell, guards, waiting, .. }
                if attempt.as_ref().is_some_and(|attempt| Arc::ptr_eq(present, attempt)) =>
            {
                *waiting -= 1;
                if *guards >= limit {
                    return Err(too_many(name, *guards));
                }
                *guards += 1;
                Ok(Step::Hold(cell.clone()))
            }
            _ => Ok(Step::Refused),
        }
    }
}

impl Attempt {
    pub(crate) fn claim(&self) -> Option<ClaimId> {
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_claim(&self, claim: ClaimId) {
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner) = Some(claim);
    }

    /// Why the service has not answered yet, for a caller whose time is up.
    pub(crate) fn last_error(&self) -> Option<Error> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_last_error(&self, error: Option<Error>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn finish(&self, outcome: Outcome) {
        // The first outcome counts; a grant that is taken back keeps "granted" and is found absent.
        self.outcome.get_or_init(|| outcome);
    }
}

fn too_many(name: &LockName, guards: u32) -> Error {
    Error::new(
        ErrorKind::ReentryLimit,
        format!("this owner holds {name} {guards} times, which is its limit: release a guard first"),
    )
}

fn other_mode(name: &LockName, present: Mode, wanted: Mode) -> Error {
    Error::new(
        ErrorKind::OtherMode,
        format!("this owner uses {name} as {present} already, it cannot be {wanted} too: release or downgrade first"),
    )
}
