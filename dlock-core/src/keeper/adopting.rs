use futures::FutureExt;

use super::Keeper;
use super::entry::{Entry, Phase};
use super::work::{Done, guarded};
use crate::client::{Start, closed};
use crate::fast::{Fast, Fresh, Taking};
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

    /// Sees through what callers have begun and do not get on with: they may be stopped for long, and others
    /// wait for it.
    pub(crate) fn adopt_begun(&mut self) {
        let now = self.clock.now();
        let Some(fast) = &self.fast else { return };
        if self.closing.is_none() && now < self.next_look {
            return;
        }
        self.next_look = now + Fast::LOOK;
        let begun = fast.take_begun();
        for seat in begun.asking {
            if let Some((start, taking)) = seat.take() {
                self.adopt_attempt(*start, taking);
            }
        }
        for fresh in begun.returning {
            let claim = fresh.start.claim.id;
            self.adopt_hold(fresh);
            self.end(claim, Why::Release);
        }
    }

    fn adopt_hold(&mut self, fresh: Fresh) {
        let Fresh { start, cell, life, since, suspect } = fresh;
        let now = self.clock.now();
        let mut entry = Entry::new(*start, now);
        tracing::debug!(parent: &entry.span, "held, and from now on renewed");
        entry.phase = Phase::Held;
        entry.grant = Some(cell.grant);
        entry.cell = Some(cell);
        entry.suspect = suspect;
        entry.live(life, now);
        entry.collect_by = Some(now + entry.claim.ttl);
        entry.hold_until = self.settings.max_hold_time.map(|time| since + time);
        self.claims.insert(entry);
    }

    /// Sees an attempt through that its caller does not wait for any more.
    pub(crate) fn adopt_attempt(&mut self, start: Start, taking: Taking) {
        let claim = start.claim.id;
        let (slot, attempt) = (start.slot.clone(), start.attempt.clone());
        let mut entry = Entry::new(start, self.clock.now());
        entry.busy = true;
        entry.suspect = self.fast.as_ref().is_some_and(|fast| fast.asked(claim));
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
        if let Err(error) = answer {
            if error.landed() == Landed::Maybe {
                entry.in_doubt = true;
                entry.strayed_at = Some(entry.last_touched);
            }
            entry.attempt.set_last_error(Some(error));
        }
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
