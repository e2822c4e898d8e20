//! The claims of this client: what is known of them, what is pushed about them, when to look again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dlock_core::{ClaimId, ClaimRef, Clock, Event, Gone, Grant, Instant, Scope, Token};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use tokio::sync::Notify;

use crate::inbox::{Line, lines};

/// Shared by the requests, by the connection's pushes and by the task that looks.
#[derive(Debug)]
pub(crate) struct Registry {
    state: Mutex<State>,
    events: UnboundedSender<Event>,
    /// Where grants go that are to be proven before anybody is told.
    unproven: Option<UnboundedSender<Unproven>>,
    /// Rung when an earlier look is wanted than the looking task knows of.
    sooner: Notify,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    claims: HashMap<ClaimId, Known>,
    looks: BTreeSet<(Instant, ClaimId)>,
    receiver: Option<UnboundedReceiver<Event>>,
}

#[derive(Debug)]
struct Known {
    claim: ClaimRef,
    /// Requests for it that are under way: their answers tell of a grant, no event does.
    requests: u32,
    grant: Option<Grant>,
    /// The token of a grant that a repeated request has put into question.
    former: Option<Token>,
    /// A grant was pushed, and is being proven.
    proving: bool,
    /// Its end was pushed while a request for it was under way.
    ended: bool,
    look: Option<Instant>,
}

/// A claim that holds, as the server says; whether it would after a failover is not known.
#[derive(Clone, Debug)]
pub(crate) struct Unproven {
    pub(crate) claim: ClaimRef,
}

/// Whether a claim was requested before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    First,
    Again,
}

impl Registry {
    pub(crate) fn new(clock: Clock) -> Self {
        let (events, receiver) = unbounded();
        let state = State { receiver: Some(receiver), ..State::default() };
        Self { state: Mutex::new(state), events, unproven: None, sooner: Notify::new(), clock }
    }

    /// One that tells of no grant that was not asked for before [`Registry::proven`] is called. Answers
    /// what is to be proven.
    pub(crate) fn with_proofs(clock: Clock) -> (Self, UnboundedReceiver<Unproven>) {
        let (unproven, receiver) = unbounded();
        (Self { unproven: Some(unproven), ..Self::new(clock) }, receiver)
    }

    /// The stream of events, once.
    pub(crate) fn take_events(&self) -> Option<UnboundedReceiver<Event>> {
        self.lock().receiver.take()
    }

    /// A request for `claim` is about to be sent. What was known of a grant does not count any more:
    /// the claim may have lapsed since, and then the request puts it at the end of the line.
    pub(crate) fn begin(&self, claim: &ClaimRef) -> Asked {
        let mut state = self.lock();
        let asked = if state.claims.contains_key(&claim.id) { Asked::Again } else { Asked::First };
        let known = state.claims.entry(claim.id).or_insert_with(|| Known {
            claim: claim.clone(),
            requests: 0,
            grant: None,
            former: None,
            proving: false,
            ended: false,
            look: None,
        });
        known.requests += 1;
        known.former = known.grant.take().map(|grant| grant.token).or(known.former);
        asked
    }

    /// The request has ended, one way or the other. Answers the grant that is known by now.
    pub(crate) fn end(&self, id: ClaimId) -> Option<Grant> {
        let mut state = self.lock();
        let known = state.claims.get_mut(&id)?;
        self.close_request(known);
        known.grant
    }

    /// The one request for a fresh claim has ended with this grant.
    pub(crate) fn end_granted(&self, id: ClaimId, grant: Grant) -> Grant {
        let mut state = self.lock();
        let Some(known) = state.claims.get_mut(&id) else { return grant };
        self.close_request(known);
        *known.grant.get_or_insert(grant)
    }

    /// The claim holds, as an answer says. The first grant stands: a token is minted once.
    pub(crate) fn granted(&self, id: ClaimId, grant: Grant) -> Grant {
        let mut state = self.lock();
        state.cancel_look(id);
        match state.claims.get_mut(&id) {
            Some(known) => *known.grant.get_or_insert(grant),
            None => grant,
        }
    }

    /// The claim holds, as the server has stored: a claim that had lapsed holds anew, by another token.
    pub(crate) fn stored(&self, id: ClaimId, grant: Grant) -> Grant {
        let mut state = self.lock();
        state.cancel_look(id);
        if let Some(known) = state.claims.get_mut(&id) {
            known.grant = Some(grant);
        }
        grant
    }

    /// The claim had lapsed and stands at the end of the line. A grant that is known is that of its
    /// place before, or else came after this answer was given: a renewal tells.
    pub(crate) fn queued_anew(&self, id: ClaimId) {
        if let Some(known) = self.lock().claims.get_mut(&id) {
            known.grant = None;
            known.former = None;
            known.ended = true;
        }
    }

    /// The claim stands in line; look again after `wait` if nothing is heard.
    pub(crate) fn queued(&self, id: ClaimId, wait: Duration) {
        let at = self.clock.now() + wait;
        let mut state = self.lock();
        if state.claims.get(&id).is_none_or(|known| known.grant.is_some()) {
            return;
        }
        state.look_at(id, at, &self.sooner);
    }

    /// Nothing about this claim is of interest any more.
    pub(crate) fn forget(&self, id: ClaimId) {
        let mut state = self.lock();
        state.cancel_look(id);
        state.claims.remove(&id);
    }

    pub(crate) fn grant(&self, id: ClaimId) -> Option<Grant> {
        self.lock().claims.get(&id)?.grant
    }

    pub(crate) fn token(&self, id: ClaimId) -> Option<Token> {
        let state = self.lock();
        let known = state.claims.get(&id)?;
        known.grant.map(|grant| grant.token).or(known.former)
    }

    /// What the server pushed to this client's inbox.
    pub(crate) fn on_message(&self, message: &[u8]) {
        for line in lines(message) {
            match line {
                Line::Granted(id, grant) => self.tell_granted(id, grant),
                Line::Gone(id) => self.tell_gone(id, Gone::Absent),
                Line::Look(id, wait) => self.queued(id, wait),
                Line::Note(id) => self.lock().look_at(id, self.clock.now(), &self.sooner),
            }
        }
    }

    /// The claim holds, as a renewal found. Answers the grant, unless it is to be proven before.
    pub(crate) fn found_granted(&self, id: ClaimId, grant: Grant) -> Option<Grant> {
        let is_news = self.lock().claims.get(&id).is_some_and(|known| known.grant.is_none());
        if is_news && self.unproven.is_some() {
            self.tell_granted(id, grant);
            return None;
        }
        Some(self.granted(id, grant))
    }

    /// The claim holds, as nobody asked.
    pub(crate) fn tell_granted(&self, id: ClaimId, grant: Grant) {
        let mut state = self.lock();
        state.cancel_look(id);
        let Some(known) = state.claims.get_mut(&id) else { return };
        match &self.unproven {
            Some(unproven) if known.grant.is_none() && !known.proving => {
                known.proving = true;
                // Nobody listens once the backend has closed.
                let _ = unproven.unbounded_send(Unproven { claim: known.claim.clone() });
            }
            Some(_) => {}
            None => self.tell(known, id, grant),
        }
    }

    /// A grant that was pushed is one to tell of.
    pub(crate) fn proven(&self, id: ClaimId, grant: Grant) {
        if let Some(known) = self.lock().claims.get_mut(&id) {
            known.proving = false;
            self.tell(known, id, grant);
        }
    }

    fn close_request(&self, known: &mut Known) {
        known.requests = known.requests.saturating_sub(1);
        if known.requests == 0 && std::mem::take(&mut known.ended) {
            // It is not known whether that was before or after what the request found.
            self.send(Event::Suspect(Scope::Claim(known.claim.id)));
        }
    }

    fn tell(&self, known: &mut Known, id: ClaimId, grant: Grant) {
        if known.grant.is_none() {
            known.grant = Some(grant);
            if known.requests == 0 {
                self.send(Event::Granted(id, grant));
            }
        }
    }

    /// The claim is gone, as nobody asked.
    pub(crate) fn tell_gone(&self, id: ClaimId, gone: Gone) {
        let mut state = self.lock();
        state.cancel_look(id);
        let Some(known) = state.claims.get_mut(&id) else { return };
        if known.requests > 0 {
            known.grant = None;
            known.former = None;
            known.ended = true;
        } else {
            state.claims.remove(&id);
            self.send(Event::Gone(id, gone));
        }
    }

    /// Pushes may have been missed.
    pub(crate) fn suspect_all(&self) {
        self.send(Event::Suspect(Scope::All));
    }

    /// Waits until some claims should be looked at, and takes their timers away.
    pub(crate) async fn next_looks(&self) -> Vec<ClaimRef> {
        loop {
            let earliest = self.lock().looks.first().map(|(at, _)| *at);
            match earliest {
                Some(at) if at <= self.clock.now() => return self.take_due(),
                Some(at) => {
                    tokio::select! {
                        () = self.clock.sleep_until(at) => {}
                        () = self.sooner.notified() => {}
                    }
                }
                None => self.sooner.notified().await,
            }
        }
    }

    fn take_due(&self) -> Vec<ClaimRef> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut due = Vec::new();
        while let Some((at, id)) = state.looks.first().copied().filter(|(at, _)| *at <= now) {
            state.looks.remove(&(at, id));
            if let Some(known) = state.claims.get_mut(&id) {
                known.look = None;
                due.push(known.claim.clone());
            }
        }
        due
    }

    fn send(&self, event: Event) {
        // Nobody listens once the keeper has gone, and then nobody needs to know.
        let _ = self.events.unbounded_send(event);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look_at(&mut self, id: ClaimId, at: Instant, sooner: &Notify) {
        self.cancel_look(id);
        let Some(known) = self.claims.get_mut(&id) else { return };
        known.look = Some(at);
        let is_first = self.looks.first().is_none_or(|(earliest, _)| at < *earliest);
        self.looks.insert((at, id));
        if is_first {
            sooner.notify_one();
        }
    }

    fn cancel_look(&mut self, id: ClaimId) {
        if let Some(at) = self.claims.get_mut(&id).and_then(|known| known.look.take()) {
            self.looks.remove(&(at, id));
        }
    }
}
