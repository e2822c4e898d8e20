//! The claims that this client has registered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dlock_core::{ClaimId, Grant, LockName, Mode};
use tokio::task::AbortHandle;

use crate::keys::{NameKeys, Seat, Section};
use crate::lease::Lease;
use crate::leases::LeaseUse;

/// One registered claim.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) id: ClaimId,
    pub(crate) name: LockName,
    pub(crate) keys: NameKeys,
    /// When its first key was created: its place in line, and its token.
    pub(crate) order: i64,
    pub(crate) record: String,
    pub(crate) seat: Seat,
    lease: LeaseUse,
    state: Mutex<State>,
    /// Counts the beginnings and ends of moves to another key.
    moves: AtomicU64,
    /// The revision at which it was last seen to be intact.
    seen_at: AtomicI64,
    /// Whether the server reports what becomes of its key.
    watched: AtomicBool,
}

#[derive(Debug)]
struct State {
    section: Section,
    /// When the key it stands at now was created.
    created: i64,
    grant: Option<Grant>,
    tasks: Vec<AbortHandle>,
    /// Nobody serves it any more.
    ended: bool,
}

/// All of them, and those that may have left something behind.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    standing: Mutex<HashMap<ClaimId, Arc<Standing>>>,
    unsettled: Mutex<HashMap<ClaimId, Unsettled>>,
}

/// A claim that has to be withdrawn, though it may not stand.
#[derive(Clone, Debug)]
pub(crate) struct Unsettled {
    pub(crate) seat: Seat,
    /// Where a request for it may still land.
    pub(crate) lease: Option<Arc<Lease>>,
    /// More than one request may be under way for what is in the seat.
    is_shared: bool,
}

impl Standing {
    pub(crate) fn new(
        (id, name): (ClaimId, LockName),
        (keys, section, seat): (NameKeys, Section, Seat),
        created: i64,
        record: String,
        lease: LeaseUse,
    ) -> Self {
        Self {
            id,
            name,
            keys,
            order: created,
            record,
            seat,
            lease,
            state: Mutex::new(State { section, created, grant: None, tasks: Vec::new(), ended: false }),
            moves: AtomicU64::new(0),
            seen_at: AtomicI64::new(created),
            watched: AtomicBool::new(false),
        }
    }

    pub(crate) fn lease(&self) -> &Arc<Lease> {
        self.lease.lease()
    }

    pub(crate) fn mode(&self) -> Mode {
        self.section().mode()
    }

    pub(crate) fn section(&self) -> Section {
        self.state().section
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        self.keys.claim(self.section(), self.seat)
    }

    /// When the key it stands at now was created.
    pub(crate) fn created(&self) -> i64 {
        self.state().created
    }

    pub(crate) fn grant(&self) -> Option<Grant> {
        self.state().grant
    }

    /// Notes the grant; answers whether it is news.
    pub(crate) fn set_grant(&self, grant: Grant) -> bool {
        self.state().grant.replace(grant).is_none()
    }

    /// It stands at another key now.
    pub(crate) fn moved(&self, section: Section, created: i64) {
        let mut state = self.state();
        state.section = section;
        state.created = created;
        drop(state);
        self.seen_at.store(created, Ordering::SeqCst);
    }

    /// It is about to move to another key, or has moved, or has not. In between nobody but the one
    /// who moves it knows where it stands.
    pub(crate) fn begin_or_end_move(&self) {
        self.moves.fetch_add(1, Ordering::SeqCst);
    }

    /// What [`Standing::begin_or_end_move`] counted; odd while it moves.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::SeqCst)
    }

    /// It was seen to be intact at `revision`.
    pub(crate) fn set_seen_at(&self, revision: i64) {
        self.seen_at.fetch_max(revision, Ordering::SeqCst);
    }

    pub(crate) fn seen_at(&self) -> i64 {
        self.seen_at.load(Ordering::SeqCst)
    }

    /// Whether the server reports at once what becomes of the key it stands at now.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    pub(crate) fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::SeqCst);
    }

    /// A task that serves it, to be stopped with it.
    pub(crate) fn add_task(&self, task: AbortHandle) {
        let mut state = self.state();
        if state.ended {
            task.abort();
        } else {
            state.tasks.push(task);
        }
    }

    pub(crate) fn stop_tasks(&self) {
        self.set_watched(false);
        for task in self.state().tasks.drain(..) {
            task.abort();
        }
    }

    fn end(&self) {
        self.state().ended = true;
        self.stop_tasks();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }
}

impl Claims {
    pub(crate) fn get(&self, id: ClaimId) -> Option<Arc<Standing>> {
        self.standing().get(&id).cloned()
    }

    pub(crate) fn add(&self, standing: Arc<Standing>) {
        self.standing().insert(standing.id, standing);
    }

    /// Forgets a claim and stops what serves it. Only one of those who call this gets the claim, and
    /// is to remove what is in its seat.
    pub(crate) fn remove(&self, id: ClaimId) -> Option<Arc<Standing>> {
        let standing = self.standing().remove(&id)?;
        standing.end();
        Some(standing)
    }

    /// Forgets all; answers which there were.
    pub(crate) fn clear(&self) -> Vec<Arc<Standing>> {
        let all: Vec<_> = self.standing().drain().map(|(_, standing)| standing).collect();
        for standing in &all {
            standing.end();
        }
        all
    }

    /// A request for the claim on that lease may have landed, or may still land.
    pub(crate) fn doubt(&self, id: ClaimId, seat: Seat, lease: Arc<Lease>) {
        self.unsettled().insert(id, Unsettled { seat, lease: Some(lease), is_shared: true });
    }

    /// Something of the claim is left in its seat, and is about to be removed.
    pub(crate) fn unsettle(&self, id: ClaimId, seat: Seat) {
        let mut unsettled = self.unsettled();
        let shared = |earlier: &mut Unsettled| earlier.is_shared = true;
        unsettled.entry(id).and_modify(shared).or_insert(Unsettled { seat, lease: None, is_shared: false });
    }

    pub(crate) fn unsettled_claim(&self, id: ClaimId) -> Option<Unsettled> {
        self.unsettled().get(&id).cloned()
    }

    /// The same for who is about to remove it too: whoever does so now does not give the seat back.
    pub(crate) fn join_unsettled(&self, id: ClaimId) -> Option<Unsettled> {
        let mut unsettled = self.unsettled();
        let joined = unsettled.get_mut(&id)?;
        joined.is_shared = true;
        Some(joined.clone())
    }

    /// Nothing of the claim is left. Answers whether its seat is free: nothing else is under way there.
    pub(crate) fn settle(&self, id: ClaimId) -> bool {
        self.unsettled().remove(&id).is_some_and(|unsettled| !unsettled.is_shared)
    }

    fn standing(&self) -> MutexGuard<'_, HashMap<ClaimId, Arc<Standing>>> {
        self.standing.lock().expect("no panic while locked")
    }

    fn unsettled(&self) -> MutexGuard<'_, HashMap<ClaimId, Unsettled>> {
        self.unsettled.lock().expect("no panic while locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_only_for_who_removed_the_claim_alone() {
        let (claims, id, seat) = (Claims::default(), ClaimId::random(), crate::seats::Seats::new().take());
        claims.unsettle(id, seat);
        assert!(claims.settle(id));
        claims.unsettle(id, seat);
        assert_eq!(claims.join_unsettled(id).unwrap().seat, seat);
        // The one who came first has its answer while the other has not even asked.
        assert!(!claims.settle(id));
        claims.unsettle(id, seat);
        assert!(claims.settle(id), "what joined is forgotten with the claim");
    }
}
