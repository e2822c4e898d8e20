use std::sync::Arc;
use std::time::Duration;

use super::entry::{Phase, backoff};
use super::granting::unsent;
use super::lane::Turn;
use super::work::{Done, guarded};
use super::{Answer, Keeper};
use crate::client::closed;
use crate::slot::Attempt;
use crate::{ClaimId, Loss, Result, Why, Withdrawn};

/// When a claim is withdrawn again that may be registered late; then after twice the time, and so on.
const FIRST_SEARCH: Duration = Duration::from_millis(50);

/// How claims come to their end, wanted or not.
impl Keeper {
    pub(crate) fn abandon(&mut self, attempt: &Arc<Attempt>) {
        let Some(claim) = attempt.claim() else { return };
        let Some(entry) = self.claims.get_mut(claim) else { return };
        if !matches!(entry.phase, Phase::Ending(_)) {
            self.end(claim, Why::Cancel);
        }
    }

    pub(crate) fn release(&mut self, claim: ClaimId, reply: Answer<Withdrawn>) {
        let Some(entry) = self.claims.get_mut(claim) else {
            return drop(reply.send(Ok(Withdrawn::Absent)));
        };
        entry.releases.push(reply);
        if !matches!(entry.phase, Phase::Ending(_)) {
            self.end(claim, Why::Release);
        }
    }

    /// Begins to withdraw the claim, as soon as no other request about it is under way.
    pub(crate) fn end(&mut self, claim: ClaimId, why: Why) {
        let now = self.clock.now();
        let Some(entry) = self.claims.get_mut(claim) else { return };
        if let (Some(place), Phase::Requesting) = (entry.place.take(), entry.phase) {
            self.requests.step_out(place, claim);
        }
        entry.phase = Phase::Ending(why);
        entry.cell = None;
        entry.since = now;
        entry.repeat_at = now;
        entry.backoff = backoff(entry.claim.ttl);
        if entry.busy {
            self.claims.reschedule(claim);
        } else {
            self.withdraw(claim);
        }
    }

    pub(crate) fn withdraw(&mut self, claim: ClaimId) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        let Phase::Ending(why) = entry.phase else { return };
        let (now, patience_ends) = (self.clock.now(), self.last_answer + self.settings.retry_for);
        let first_look = entry.looks_at(&self.settings, now);
        match self.withdrawals.turn(entry, patience_ends, first_look, now) {
            Turn::Now => {}
            Turn::Later => return self.claims.reschedule(claim),
            Turn::Never => return self.withdrawn(claim, Err(unsent())),
        }
        entry.busy = true;
        let (ended, span) = (entry.claim.to_ref(), entry.span.clone());
        self.claims.reschedule(claim);
        self.spawn(span, |backend| async move {
            let answer = guarded(async { backend.withdraw(&ended, why).await }).await;
            Done::Withdrawn(claim, answer)
        });
    }

    /// Sends what has waited for its turn longest.
    pub(crate) fn withdraw_next(&mut self) {
        while let Some(claim) = self.withdrawals.next() {
            let Some(entry) = self.claims.get_mut(claim) else { continue };
            entry.place = None;
            self.withdraw(claim);
        }
    }

    pub(crate) fn withdrawn(&mut self, claim: ClaimId, answer: Result<Withdrawn>) {
        let now = self.clock.now();
        let grace = self.info.grace;
        let Some(entry) = self.claims.get_mut(claim) else { return };
        entry.busy = false;
        let error = match answer {
            Ok(withdrawn) => {
                tracing::debug!(parent: &entry.span, ?withdrawn, "withdrawn");
                for reply in entry.releases.drain(..) {
                    let _ = reply.send(Ok(withdrawn));
                }
                let Some(strayed_at) = entry.strayed_at else { return self.forget(claim) };
                let surely_there_at = strayed_at + self.info.request_timeout;
                if surely_there_at <= now {
                    return self.forget(claim);
                }
                // A request that arrives after this would register the claim for nobody.
                let pause = now.since(strayed_at).max(FIRST_SEARCH);
                entry.repeat_at = surely_there_at.min(now + pause);
                return self.claims.reschedule(claim);
            }
            Err(error) => error,
        };
        let out_of_patience = now >= entry.gives_up_at(&self.settings);
        // While the client lives this is repeated until it is answered: on a session that others keep
        // alive, a claim never lapses.
        let lapsed = match entry.lapses_at(grace) {
            _ if self.closing.is_none() => false,
            Some(at) => at <= now,
            None => out_of_patience,
        };
        if lapsed || out_of_patience || !error.is_retryable() {
            for reply in entry.releases.drain(..) {
                let _ = reply.send(Err(error.clone().context("the release is not confirmed")));
            }
        }
        if lapsed {
            tracing::warn!(parent: &entry.span, %error, "left to lapse: it could not be withdrawn");
            return self.forget(claim);
        }
        tracing::debug!(parent: &entry.span, %error, "the withdrawal is repeated");
        entry.repeat_later(now);
        self.claims.reschedule(claim);
    }

    /// Stops renewing a claim that guards still count on, and tells them. It is withdrawn when
    /// the last of them goes, or when its life has run out.
    pub(crate) fn retire(&mut self, claim: ClaimId, loss: Loss) {
        let now = self.clock.now();
        let Some(entry) = self.claims.get_mut(claim) else { return };
        if let Some(cell) = entry.cell.take() {
            cell.lose(loss);
            tracing::warn!(parent: &entry.span, %loss, "the lock is given up");
        }
        let until = entry.life.and_then(|life| life.valid_until()).unwrap_or_else(|| now + entry.claim.ttl);
        entry.phase = Phase::Retired(until);
        self.claims.reschedule(claim);
    }

    pub(crate) fn close(&mut self, reply: Option<Answer<()>>) {
        let begun = self.closing.is_some();
        self.closing.get_or_insert_default().extend(reply);
        if begun {
            return;
        }
        if let Some(fast) = &self.fast {
            fast.close();
        }
        self.adopt_fresh();
        for claim in self.claims.ids() {
            let Some(entry) = self.claims.get_mut(claim) else { continue };
            match entry.phase {
                Phase::Requesting | Phase::Queued | Phase::Confirming => {
                    entry.slot.failed(&entry.attempt, closed());
                    self.end(claim, Why::Cancel);
                }
                Phase::Held if entry.slot.take_back(&entry.attempt) => self.end(claim, Why::Cancel),
                Phase::Held => self.retire(claim, Loss::Closed),
                Phase::Retired(_) | Phase::Ending(_) => {}
            }
        }
    }

    pub(crate) fn forget(&mut self, claim: ClaimId) {
        self.claims.remove(claim);
    }
}
