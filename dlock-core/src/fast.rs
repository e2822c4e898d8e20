//! Claims that callers take and give back by themselves, and how the keeper comes to know of them.

mod asking;
mod returning;
mod seat;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use self::asking::Asking;
pub(crate) use self::returning::{Returned, Returning};
use self::seat::Seat;
use crate::client::Start;
use crate::lease::Cell;
use crate::{ClaimId, ClaimRef, FastAnswer, FastPath, Grant, Instant, Life, Loss, Scope};

/// What a fast attempt to take a name comes to.
pub(crate) type Taking = FastAnswer<(Grant, Life)>;

/// The fast path of a client, shared by its callers and its keeper.
///
/// A claim taken here is at first known to its holder only. The keeper takes those that are still
/// held into its care at its next turn, which is soon enough: it looks at least every
/// [`Fast::LOOK`], and is woken for claims that cannot wait so long. So a claim that is given back
/// sooner never costs the keeper anything.
///
/// Nothing depends on a caller that stops polling: what is still under way at the keeper's second
/// look, or when it closes, it sees through itself.
#[derive(Debug)]
pub(crate) struct Fast {
    path: Arc<dyn FastPath>,
    max_hold_time: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asking: HashMap<ClaimId, UnderWay>,
    held: HashMap<ClaimId, Fresh>,
    returning: HashMap<ClaimId, Leaving>,
    closed: bool,
    /// The keeper has ended, and left nothing.
    ended: bool,
}

/// An attempt that is not answered yet.
#[derive(Debug)]
struct UnderWay {
    seat: Arc<Seat>,
    /// Something may have happened to it that it does not know of.
    suspect: bool,
    /// The keeper saw it at its last look.
    seen: bool,
}

/// A claim that is held and not yet in the keeper's care.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) start: Box<Start>,
    pub(crate) cell: Arc<Cell>,
    pub(crate) life: Life,
    /// When it was granted.
    pub(crate) since: Instant,
    pub(crate) suspect: bool,
}

/// A claim that its holder is giving back.
#[derive(Debug)]
struct Leaving {
    fresh: Fresh,
    /// The keeper saw it at its last look.
    seen: bool,
}

/// What callers have left under way.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    pub(crate) asking: Vec<Arc<Seat>>,
    pub(crate) returning: Vec<Fresh>,
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

    pub(crate) fn new(path: Arc<dyn FastPath>, max_hold_time: Option<Duration>) -> Self {
        Self { path, max_hold_time, state: Mutex::default() }
    }

    /// Begins to take a name. Gives `start` back when the keeper is to be asked at once.
    fn ask(&self, start: Box<Start>) -> std::result::Result<Arc<Seat>, Box<Start>> {
        let claim = start.claim.id;
        let seat = {
            let mut state = self.lock();
            if state.closed || state.asking.len() >= Self::WIDTH {
                return Err(start);
            }
            let seat = Arc::new(Seat::default());
            // Before it begins, so that it misses no event.
            state.asking.insert(claim, UnderWay { seat: seat.clone(), suspect: false, seen: false });
            seat
        };
        match self.path.take(&start.claim) {
            Some(taking) => {
                seat.fill(start, taking);
                Ok(seat)
            }
            None => {
                self.asked(claim);
                Err(start)
            }
        }
    }

    /// An attempt has ended without a hold, or is the keeper's business now. Answers whether it is suspect.
    pub(crate) fn asked(&self, claim: ClaimId) -> bool {
        self.lock().asking.remove(&claim).is_some_and(|asking| asking.suspect)
    }

    /// An attempt has ended with a hold.
    fn keep(&self, fresh: Fresh) -> Kept {
        let mut state = self.lock();
        if state.closed {
            return Kept::Closing(fresh.start);
        }
        let claim = fresh.start.claim.id;
        let suspect = state.asking.remove(&claim).is_some_and(|asking| asking.suspect);
        let is_short =
            fresh.start.claim.ttl < 6 * Self::LOOK || self.max_hold_time.is_some_and(|time| time < 2 * Self::LOOK);
        state.held.insert(claim, Fresh { suspect, ..fresh });
        if is_short || suspect { Kept::Wake } else { Kept::Later }
    }

    /// The holder gives a claim back by itself; `None` when it is in the keeper's care.
    fn begin_return(&self, claim: ClaimId) -> Option<ClaimRef> {
        let mut state = self.lock();
        let fresh = state.held.remove(&claim)?;
        let claim = fresh.start.claim.to_ref();
        state.returning.insert(claim.id, Leaving { fresh, seen: false });
        Some(claim)
    }

    /// That has ended; if in vain, the keeper finds the claim like one that is held.
    fn end_return(&self, claim: ClaimId, returned: Returned) {
        let mut state = self.lock();
        let left = state.returning.remove(&claim);
        if let (Some(Leaving { fresh, .. }), Returned::Not) = (left, returned) {
            state.held.insert(claim, fresh);
        }
    }

    /// For the keeper: what it has to care for from now on.
    pub(crate) fn take_all(&self) -> Vec<Fresh> {
        let mut state = self.lock();
        if state.held.is_empty() { Vec::new() } else { state.held.drain().map(|(_, fresh)| fresh).collect() }
    }

    /// For the keeper: what has not got on since its last look, or anything that is under way once it closes.
    pub(crate) fn take_begun(&self) -> Begun {
        let mut state = self.lock();
        let closed = state.closed;
        let asking = state
            .asking
            .values_mut()
            .filter_map(|asking| (std::mem::replace(&mut asking.seen, true) || closed).then(|| asking.seat.clone()));
        let asking = asking.collect();
        let returning = state.returning.extract_if(|_, leaving| std::mem::replace(&mut leaving.seen, true) || closed);
        Begun { asking, returning: returning.map(|(_, leaving)| leaving.fresh).collect() }
    }

    /// For the keeper: an event about claims that may be among those asked for.
    pub(crate) fn suspect(&self, scope: &Scope) {
        let mut state = self.lock();
        match scope {
            Scope::Claim(claim) => drop(state.asking.get_mut(claim).map(|asking| asking.suspect = true)),
            Scope::All | Scope::Name(_) => state.asking.values_mut().for_each(|asking| asking.suspect = true),
        }
    }

    /// For the keeper: nothing new is begun or held from here on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// For the keeper: whether nobody is in the middle of anything.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.lock();
        state.asking.is_empty() && state.held.is_empty() && state.returning.is_empty()
    }

    /// For the keeper: it has seen everything through.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
    }

    /// Whether nothing is left on the service that anybody could still give back.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// For the keeper, which may end before its time.
    pub(crate) fn lose_all(&self, loss: Loss) {
        let mut state = self.lock();
        state.closed = true;
        state.held.drain().for_each(|(_, fresh)| fresh.cell.lose(loss));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
