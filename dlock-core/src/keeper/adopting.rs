use futures::FutureExt;

use super::Keeper;
use super::entry::{Entry, Phase};
use super::work::{Done, guarded};
use crate::client::{Start, closed};
use crate::fast::{Fresh, Taking};
use crate::{ClaimId, Error, ErrorKind, Grant, Landed, Life, Requested, Result, Why};

/// What the keeper takes over from callers that use the fast path.
impl Keeper {
    /// Takes those claims into its care that callers took and still hold.
    pub(crate) fn adopt_fresh(&mut self) {
        let Some(fast) = &self.fast else { return };
        for fresh in fast.take_all() {
            self.adopt_hold(fresh);
        }
    }

    fn adopt_hold(&mut self, fresh: Fresh) {
        let now = self.clock.now();
        let entry = self.held_entry(fresh);
        let claim = entry.claim.id;
        tracing::debug!(parent: &entry.span, "held, and from now on renewed");
        self.claims.insert(entry);
        if let Some(entry) = self.claims.get_mut(claim) {
            entry.collect_by = Some(now + entry.claim.ttl);
            entry.hold_until = self.settings.max_hold_time.map(|time| now + time);
        }
        self.claims.reschedule(claim);
    }

    /// Withdraws a claim that its holder could not give back by itself.
    pub(crate) fn withdraw_fresh(&mut self, fresh: Fresh) {
        let entry = self.held_entry(fresh);
        let claim = entry.claim.id;
        self.claims.insert(entry);
        self.end(claim, Why::Release);
    }

    fn held_entry(&self, fresh: Fresh) -> Entry {
        let Fresh { start, cell, life, suspect } = fresh;
        let now = self.clock.now();
        let mut entry = Entry::new(*start, now);
        entry.phase = Phase::Held;
        entry.grant = Some(cell.grant);
        entry.cell = Some(cell);
        entry.suspect = suspect;
        entry.live(life, now);
        entry
    }

    /// Sees an attempt through that its caller does not wait for any more.
    pub(crate) fn adopt_attempt(&mut self, start: Start, taking: Taking) {
        let claim = start.claim.id;
        let (slot, attempt) = (start.slot.clone(), start.attempt.clone());
        let mut entry = Entry::new(start, self.clock.now());
        entry.busy = true;
        let span = entry.span.clone();
        self.claims.insert(entry);
        let (clock, bound) = (self.clock.clone(), self.info.request_timeout);
        self.spawn(span, |_backend| async move {
            let answer = tokio::select! {
                answer = guarded(taking) => answer,
                () = clock.sleep(bound).fuse() => Err(unanswered()),
            };
            Done::Taken(claim, answer)
        });
        if self.closing.is_some() {
            slot.failed(&attempt, closed());
            self.end(claim, Why::Cancel);
        }
    }

    pub(crate) fn taken(&mut self, claim: ClaimId, answer: Result<Option<(Grant, Life)>>) {
        if let Ok(Some((grant, life))) = answer {
            return self.requested(claim, Ok(Requested::Held(grant, life)));
        }
        let Some(entry) = self.claims.get_mut(claim) else { return };
        entry.busy = false;
        entry.last_touched = self.clock.now();
        entry.in_doubt |= answer.is_err_and(|error| error.landed() == Landed::Maybe);
        match entry.phase {
            Phase::Ending(_) if entry.in_doubt => self.withdraw(claim),
            Phase::Ending(_) => self.forget(claim),
            _ => self.request(claim),
        }
    }
}

fn unanswered() -> Error {
    Error::new(ErrorKind::Unavailable, "the service did not answer a caller's own request").with_landed(Landed::Maybe)
}
