//! Claims that callers take and give back by themselves, and how the keeper comes to know of them.

mod asking;
mod returning;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use self::asking::Asking;
pub(crate) use self::returning::{Returned, Returning};
use crate::client::Start;
use crate::lease::Cell;
use crate::{ClaimId, Clock, FastAnswer, FastPath, Grant, Instant, Life, Loss, Scope};

/// What a fast attempt to take a name comes to.
pub(crate) type Taking = FastAnswer<(Grant, Life)>;

/// The fast path of a client, shared by its callers and its keeper.
///
/// A claim taken here is at first known to its holder only. The keeper takes those that are still
/// held into its care at its next turn, which is soon enough: it looks at least every
/// [`Fast::LOOK`], and is woken for claims of a short ttl. So a claim that is given back sooner
/// never costs the keeper anything.
#[derive(Debug)]
pub(crate) struct Fast {
    path: Arc<dyn FastPath>,
    clock: Clock,
    /// How long an attempt takes at most.
    bound: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asking: HashMap<ClaimId, UnderWay>,
    held: HashMap<ClaimId, Fresh>,
    closed: bool,
}

/// An attempt that is not answered yet.
#[derive(Debug)]
struct UnderWay {
    /// After this the service has surely dropped whatever it registered.
    over_at: Instant,
    /// Something may have happened to it that it does not know of.
    suspect: bool,
}

/// A claim that is held and not yet in the keeper's care.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) start: Box<Start>,
    pub(crate) cell: Arc<Cell>,
    pub(crate) life: Life,
    pub(crate) suspect: bool,
}

/// What a holder who has just been granted a claim has to do.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Nothing: the keeper will look.
    Later,
    /// Wake the keeper.
    Wake,
    /// Hand it to the keeper, which is closing.
    Closing(Box<Start>),
}

impl Fast {
    /// How long the keeper sleeps at most without a look at what was taken.
    pub(crate) const LOOK: Duration = Duration::from_millis(500);
    /// So many attempts are under way at a time; others go to the keeper, who lets them wait in line.
    const WIDTH: usize = 64;

    pub(crate) fn new(path: Arc<dyn FastPath>, clock: Clock, bound: Duration) -> Self {
        Self { path, clock, bound, state: Mutex::default() }
    }

    /// Begins to take a name. `None` when the keeper is to be asked at once.
    fn ask(&self, start: &Start) -> Option<Taking> {
        let claim = &start.claim;
        {
            let mut state = self.lock();
            if state.closed || state.asking.len() >= Self::WIDTH {
                return None;
            }
            let over_at = self.clock.now() + self.bound + claim.ttl;
            state.asking.insert(claim.id, UnderWay { over_at, suspect: false });
        }
        let taking = self.path.take(claim);
        if taking.is_none() {
            self.asked(claim.id);
        }
        taking
    }

    /// An attempt has ended without a hold, or is the keeper's business now.
    fn asked(&self, claim: ClaimId) -> bool {
        let mut state = self.lock();
        state.asking.remove(&claim);
        state.closed
    }

    /// An attempt has ended with a hold.
    fn keep(&self, start: Box<Start>, cell: Arc<Cell>, life: Life) -> Kept {
        let mut state = self.lock();
        if state.closed {
            return Kept::Closing(start);
        }
        let claim = start.claim.id;
        let suspect = state.asking.remove(&claim).is_some_and(|asking| asking.suspect);
        let is_short = start.claim.ttl < 6 * Self::LOOK;
        state.held.insert(claim, Fresh { start, cell, life, suspect });
        if is_short || suspect { Kept::Wake } else { Kept::Later }
    }

    /// Takes a claim back out; `None` when it is in the keeper's care.
    pub(crate) fn take_out(&self, claim: ClaimId) -> Option<Fresh> {
        self.lock().held.remove(&claim)
    }

    /// For the keeper: what it has to care for from now on.
    pub(crate) fn take_all(&self) -> Vec<Fresh> {
        let mut state = self.lock();
        if state.held.is_empty() { Vec::new() } else { state.held.drain().map(|(_, fresh)| fresh).collect() }
    }

    /// For the keeper: an event about claims that may be among those asked for.
    pub(crate) fn suspect(&self, scope: &Scope) {
        let mut state = self.lock();
        match scope {
            Scope::Claim(claim) => drop(state.asking.get_mut(claim).map(|asking| asking.suspect = true)),
            Scope::All | Scope::Name(_) => state.asking.values_mut().for_each(|asking| asking.suspect = true),
        }
    }

    /// For the keeper: nothing new is begun from here on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// For the keeper: whether nobody is in the middle of an attempt that could still come to something.
    pub(crate) fn is_quiet(&self) -> bool {
        let now = self.clock.now();
        self.lock().asking.values().all(|asking| asking.over_at <= now)
    }

    /// For the keeper, which ends before its time.
    pub(crate) fn lose_all(&self, loss: Loss) {
        let mut state = self.lock();
        state.closed = true;
        state.held.drain().for_each(|(_, fresh)| fresh.cell.lose(loss));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
