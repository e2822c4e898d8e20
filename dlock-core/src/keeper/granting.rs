use std::sync::Arc;
use std::time::Duration;

use super::Keeper;
use super::entry::{Entry, Phase};
use super::lane::Turn;
use super::work::{Done, guarded};
use crate::client::Start;
use crate::lease::Cell;
use crate::{
    Capability, ClaimId, Error, ErrorKind, Gone, Grant, Instant, Landed, Loss, Mode, Queue, Requested, Result, Why,
};

/// How a claim gets from its first request to a holder.
impl Keeper {
    pub(crate) fn start(&mut self, start: Start) {
        if let Err(error) = self.require(Capability::for_mode(start.claim.mode)) {
            return start.slot.failed(&start.attempt, error);
        }
        let claim = start.claim.id;
        start.attempt.set_claim(claim);
        let entry = Entry::new(start, self.clock.now());
        tracing::debug!(parent: &entry.span, ttl = ?entry.claim.ttl, "requesting");
        self.claims.insert(entry);
        self.request(claim);
    }

    pub(crate) fn request(&mut self, claim: ClaimId) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        let (now, patience_ends) = (self.clock.now(), self.last_answer + self.settings.retry_for);
        let first_look = entry.looks_at(&self.settings, now);
        match self.requests.turn(entry, patience_ends, first_look, now) {
            Turn::Now => {}
            Turn::Later => return self.claims.reschedule(claim),
            Turn::Never => return self.request_failed(claim, unsent(), now),
        }
        entry.busy = true;
        let (request, queue, span) = (entry.claim.clone(), entry.queue, entry.span.clone());
        self.claims.reschedule(claim);
        self.spawn(span, |backend| async move {
            let answer = guarded(async { backend.request(&request, queue).await }).await;
            Done::Requested(claim, answer)
        });
    }

    /// Sends what has waited for its turn longest.
    pub(crate) fn request_next(&mut self) {
        while let Some(claim) = self.requests.next() {
            let Some(entry) = self.claims.get_mut(claim) else { continue };
            entry.place = None;
            self.request(claim);
        }
    }

    pub(crate) fn requested(&mut self, claim: ClaimId, answer: Result<Requested>) {
        let now = self.clock.now();
        let Some(entry) = self.claims.get_mut(claim) else { return };
        entry.busy = false;
        entry.last_touched = now;
        match &answer {
            Err(error) if error.landed() == Landed::Maybe => entry.in_doubt = true,
            _ => {}
        }
        if let Ok(Requested::Held(_, life) | Requested::Queued(life)) = &answer {
            entry.attempt.set_last_error(None);
            entry.live(*life, now);
        }
        if let Phase::Ending(_) = entry.phase {
            // Nobody wants it any more; whatever came of the request is taken back.
            return match answer {
                Ok(Requested::Refused) | Err(_) if !entry.in_doubt => self.forget(claim),
                _ => self.withdraw(claim),
            };
        }
        match answer {
            Ok(Requested::Held(grant, _)) => self.grant(claim, grant),
            Ok(Requested::Queued(_)) if entry.queue == Queue::Yes => self.queued(claim),
            Ok(Requested::Refused) if entry.queue == Queue::No => {
                entry.slot.refused(&entry.attempt);
                self.leave_nothing(claim);
            }
            Ok(Requested::Queued(_) | Requested::Refused) => {
                let text = format!("the backend queued a try, or refused a claim that waits: {}", entry.claim.name);
                entry.slot.failed(&entry.attempt, Error::new(ErrorKind::Internal, text));
                self.end(claim, Why::Cancel);
            }
            Err(error) => self.request_failed(claim, error, now),
        }
    }

    fn queued(&mut self, claim: ClaimId) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        tracing::debug!(parent: &entry.span, "waiting in line");
        entry.phase = Phase::Queued;
        entry.slot.queued(&entry.attempt);
        self.claims.reschedule(claim);
    }

    fn request_failed(&mut self, claim: ClaimId, error: Error, now: Instant) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        if error.is_retryable() && now < entry.gives_up_at(&self.settings) {
            tracing::debug!(parent: &entry.span, %error, "the request is repeated");
            entry.attempt.set_last_error(Some(error));
            entry.repeat_later(now);
            return self.claims.reschedule(claim);
        }
        if error.kind() == ErrorKind::Lost {
            // A request before had landed, and its claim has lapsed since.
            return self.start_over(claim);
        }
        tracing::debug!(parent: &entry.span, %error, "the request failed");
        entry.slot.failed(&entry.attempt, error);
        self.leave_nothing(claim);
    }

    /// An attempt has ended without a grant: what a lost request may have left is withdrawn.
    fn leave_nothing(&mut self, claim: ClaimId) {
        let in_doubt = self.claims.get_mut(claim).is_some_and(|entry| entry.in_doubt);
        if in_doubt { self.end(claim, Why::Cancel) } else { self.forget(claim) }
    }

    pub(crate) fn granted(&mut self, claim: ClaimId, grant: Grant) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        match entry.phase {
            // A claim whose request was repeated may have lapsed and stand in line anew, and this
            // be the grant of its place before: a renewal tells.
            Phase::Requesting => entry.suspect = true,
            Phase::Queued if entry.in_doubt => {
                entry.suspect = true;
                entry.next_renewal = self.clock.now();
                self.claims.reschedule(claim);
            }
            Phase::Queued => self.grant(claim, grant),
            Phase::Confirming | Phase::Held | Phase::Retired(_) | Phase::Ending(_) => {}
        }
    }

    /// The claim is held on the service. It is handed over if enough of its life is left, and
    /// renewed before if not: a grant never advances validity.
    pub(crate) fn grant(&mut self, claim: ClaimId, grant: Grant) {
        let now = self.clock.now();
        let Some(entry) = self.claims.get_mut(claim) else { return };
        entry.grant = Some(grant);
        let Some(life) = entry.life else { return };
        let left = life.valid_until().map_or(Duration::MAX, |until| until.since(now));
        if left.is_zero() {
            return self.granted_too_late(claim);
        }
        // What has just been renewed will not get any fresher.
        if left < entry.granted_ttl() / 2 && entry.phase != Phase::Confirming {
            entry.phase = Phase::Confirming;
            entry.next_renewal = now;
            return self.claims.reschedule(claim);
        }
        let name = entry.claim.name.clone();
        let cell = Arc::new(Cell::new(claim, name, grant, self.clock.clone(), life.valid_until()));
        if !entry.slot.granted(&entry.attempt, &cell) {
            return self.end(claim, Why::Cancel);
        }
        tracing::debug!(parent: &entry.span, token = grant.token.value, "held");
        entry.cell = Some(cell);
        entry.phase = Phase::Held;
        entry.collect_by = Some(now + entry.claim.ttl);
        entry.hold_until = self.settings.max_hold_time.map(|time| now + time);
        self.claims.reschedule(claim);
    }

    /// The claim is not on the service any more.
    pub(crate) fn gone(&mut self, claim: ClaimId, gone: Gone) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        match entry.phase {
            Phase::Requesting => entry.suspect = true,
            Phase::Queued | Phase::Confirming => {
                tracing::info!(parent: &entry.span, ?gone, "lost its place in the line, queueing again");
                self.start_over(claim);
            }
            Phase::Held => self.lose(claim, gone.into()),
            Phase::Retired(_) | Phase::Ending(_) => {}
        }
    }

    /// The lease is over before its guards are: tells them, and withdraws what may be left.
    pub(crate) fn lose(&mut self, claim: ClaimId, loss: Loss) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        if let Some(cell) = entry.cell.take() {
            cell.lose(loss);
            tracing::warn!(parent: &entry.span, %loss, "the lock is lost");
        }
        entry.slot.take_back(&entry.attempt);
        self.end(claim, Why::Release);
    }

    /// The answer took longer than the claim's life.
    fn granted_too_late(&mut self, claim: ClaimId) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        let text = format!("the service took longer to answer than the ttl of {:?}: raise the ttl", entry.claim.ttl);
        tracing::debug!(parent: &entry.span, "{text}");
        let error = Error::new(ErrorKind::Unavailable, text).with_landed(Landed::Maybe);
        if entry.queue == Queue::No {
            entry.slot.failed(&entry.attempt, error);
            return self.end(claim, Why::Cancel);
        }
        entry.attempt.set_last_error(Some(error));
        self.start_over(claim);
    }

    /// Withdraws a waiting claim that can no longer come to hold in time, and makes a new one for
    /// the same attempt, at the end of the line.
    pub(crate) fn start_over(&mut self, claim: ClaimId) {
        let now = self.clock.now();
        let Some(entry) = self.claims.get_mut(claim) else { return };
        let mut request = entry.claim.clone();
        request.id = ClaimId::random();
        let (slot, attempt, queue) = (entry.slot.clone(), entry.attempt.clone(), entry.queue);
        let restarts = entry.restarts + 1;
        self.end(claim, Why::Cancel);

        attempt.set_claim(request.id);
        let mut again = Entry::new(Start { claim: request, queue, slot, attempt }, now);
        again.restarts = restarts;
        for _ in 1..restarts.min(16) {
            again.repeat_later(now);
        }
        self.claims.insert(again);
    }

    pub(crate) fn downgrade(&mut self, claim: ClaimId, reply: super::Answer<()>) {
        if let Err(error) = self.require(Capability::Downgrade) {
            return drop(reply.send(Err(error)));
        }
        let give_up_at = self.clock.now() + self.settings.retry_for;
        let Some(entry) = self.claims.get_mut(claim).filter(|entry| entry.phase == Phase::Held && !entry.busy) else {
            return drop(reply.send(Err(Error::new(ErrorKind::Lost, "the lease is gone"))));
        };
        entry.busy = true;
        let (held, span, mut pauses) =
            (entry.claim.to_ref(), entry.span.clone(), super::entry::backoff(entry.granted_ttl()));
        let clock = self.clock.clone();
        self.spawn(span, |backend| async move {
            let mut in_doubt = false;
            loop {
                let answer = guarded(async { backend.convert(&held, Mode::Shared).await }).await;
                let error = match answer {
                    Ok(grant) => return Done::Converted(claim, Ok(grant), reply),
                    Err(error) => error,
                };
                in_doubt |= error.landed() == Landed::Maybe;
                if !error.is_retryable() || clock.now() >= give_up_at {
                    let landed = if in_doubt { Landed::Maybe } else { Landed::No };
                    return Done::Converted(claim, Err(error.with_landed(landed)), reply);
                }
                clock.sleep(pauses.next().unwrap_or(Duration::from_secs(1))).await;
            }
        });
    }

    pub(crate) fn converted(&mut self, claim: ClaimId, answer: Result<Grant>, reply: super::Answer<()>) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        entry.busy = false;
        entry.last_touched = self.clock.now();
        let unknown = answer.as_ref().is_err_and(|error| error.landed() == Landed::Maybe);
        match &answer {
            Ok(_) => entry.claim.mode = Mode::Shared,
            Err(_) if unknown => {}
            Err(_) => entry.slot.set_mode(claim, Mode::Exclusive),
        }
        let was_lost = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost);
        match entry.phase {
            Phase::Ending(_) => self.withdraw(claim),
            // It may be shared on the service now, so it must not be believed to be exclusive.
            _ if unknown => self.lose(claim, Loss::Altered),
            _ if was_lost => self.lose(claim, Loss::Gone),
            _ => self.claims.reschedule(claim),
        }
        let _ = reply.send(answer.map(|_| ()));
    }
}

/// The service has not answered anything for so long that a request had no turn.
pub(super) fn unsent() -> Error {
    Error::new(ErrorKind::Unavailable, "the service does not answer: the request waited for others, and was not sent")
}
