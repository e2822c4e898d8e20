use super::Keeper;
use std::time::Duration;

use super::entry::Phase;
use super::work::{Done, guarded};
use crate::{ClaimId, ClaimRef, Error, ErrorKind, Instant, Landed, Loss, Renewal, Result, Scope, Why};

/// However soon a backend wants to be asked again.
const SHORTEST_RECHECK: Duration = Duration::from_millis(1);

/// How claims are kept alive, and what is done when their time comes.
impl Keeper {
    /// Does what is due for one claim. Answers whether it wants to be renewed.
    pub(crate) fn turn(&mut self, claim: ClaimId, now: Instant) -> bool {
        let Some(entry) = self.claims.get_mut(claim) else { return false };
        match entry.phase {
            Phase::Requesting if !entry.busy => self.request(claim),
            Phase::Ending(_) if !entry.busy => self.withdraw(claim),
            Phase::Requesting | Phase::Ending(_) => {}
            Phase::Retired(until) if until <= now => self.end(claim, Why::Release),
            Phase::Retired(_) => self.claims.reschedule(claim),
            Phase::Queued | Phase::Confirming if entry.has_lapsed(now) => {
                tracing::info!(parent: &entry.span, "its place in the line lapsed, queueing again");
                self.start_over(claim);
            }
            Phase::Held if entry.has_lapsed(now) => self.lose(claim, Loss::Deadline),
            Phase::Held if entry.hold_until.is_some_and(|until| until <= now) => self.retire(claim, Loss::MaxHold),
            Phase::Held if entry.collect_by.is_some_and(|by| by <= now) => {
                if entry.slot.take_back(&entry.attempt) {
                    tracing::info!(parent: &entry.span, "nobody collected the grant");
                    self.end(claim, Why::Cancel);
                } else {
                    // Its guard may go while another future still counts on the claim.
                    entry.collect_by = Some(now + entry.claim.ttl);
                    self.claims.reschedule(claim);
                    return self.wants_renewal(claim, now);
                }
            }
            Phase::Queued | Phase::Confirming | Phase::Held => {
                self.claims.reschedule(claim);
                return self.wants_renewal(claim, now);
            }
        }
        false
    }

    fn wants_renewal(&mut self, claim: ClaimId, now: Instant) -> bool {
        self.claims.get_mut(claim).is_some_and(|entry| entry.renew_at() <= now)
    }

    /// Renews all claims whose time has come or comes soon.
    pub(crate) fn renew_batch(&mut self, now: Instant) {
        let mut batch: Vec<ClaimRef> = Vec::new();
        let mut were_held: Vec<bool> = Vec::new();
        for claim in self.claims.due_by(now + self.settings.ttl / 12) {
            let Some(entry) = self.claims.get_mut(claim) else { continue };
            if !entry.phase.is_renewed() || entry.renew_at() > now + entry.granted_ttl() / 12 {
                continue;
            }
            entry.renewing_since = Some(now);
            entry.suspect = false;
            batch.push(entry.claim.to_ref());
            were_held.push(matches!(entry.phase, Phase::Held | Phase::Confirming));
            self.claims.reschedule(claim);
        }
        let span = tracing::debug_span!("renew", claims = batch.len());
        self.spawn(span, |backend| async move {
            let answers = guarded(async { Ok(backend.renew(&batch).await) }).await;
            let mut answers = match answers {
                Ok(answers) => answers,
                Err(error) => vec![Err(error); batch.len()],
            };
            answers.resize_with(batch.len(), || {
                Err(Error::new(ErrorKind::Internal, "the backend left a renewal without answer")
                    .with_landed(Landed::Maybe))
            });
            let renewed = batch.iter().zip(were_held).zip(answers);
            Done::Renewed(renewed.map(|((claim, was_held), answer)| (claim.id, was_held, answer)).collect())
        });
    }

    /// `was_held` tells how the claim stood when this renewal was sent.
    pub(crate) fn renewed(&mut self, claim: ClaimId, was_held: bool, answer: Result<Renewal>) {
        let now = self.clock.now();
        let Some(entry) = self.claims.get_mut(claim) else { return };
        entry.renewing_since = None;
        entry.last_touched = now;
        if !entry.phase.is_renewed() {
            return;
        }
        let (life, grant, recheck) = match answer {
            Ok(Renewal::Alive { life, grant, recheck }) => (life, grant, recheck),
            Ok(Renewal::Gone(gone)) => return self.gone(claim, gone),
            Err(error) => {
                tracing::debug!(parent: &entry.span, %error, "a renewal failed");
                if let Some(cell) = &entry.cell {
                    cell.doubt(true);
                }
                let pause = entry.pause();
                entry.next_renewal = now + pause;
                return self.claims.reschedule(claim);
            }
        };
        entry.restarts = 0;
        entry.live(life, now);
        if let Some(recheck) = recheck {
            entry.next_renewal = entry.next_renewal.min(now + recheck.max(SHORTEST_RECHECK));
        }
        match (entry.phase, grant) {
            (Phase::Held, Some(grant)) if entry.grant.is_some_and(|known| known.token == grant.token) => {
                self.keep(claim);
            }
            // A grant was pushed while this answer, which did not know of it, was on its way.
            (Phase::Held, None) if !was_held => self.keep(claim),
            (Phase::Confirming, None) if !was_held => {
                entry.next_renewal = now;
                self.claims.reschedule(claim);
            }
            // The service lost the grant, or gave another one: this is not the lease it was.
            (Phase::Held, _) => self.lose(claim, Loss::Altered),
            (_, Some(grant)) => self.grant(claim, grant),
            (_, None) => {
                entry.phase = Phase::Queued;
                self.claims.reschedule(claim);
            }
        }
    }

    /// A held claim was renewed: its deadline moves on, unless it has passed.
    fn keep(&mut self, claim: ClaimId) {
        let Some(entry) = self.claims.get_mut(claim) else { return };
        let until = entry.life.and_then(|life| life.valid_until());
        let kept = entry.cell.as_ref().is_some_and(|cell| {
            cell.doubt(false);
            cell.extend(until)
        });
        if kept { self.claims.reschedule(claim) } else { self.lose(claim, Loss::Deadline) }
    }

    /// Something may have been missed about these claims.
    pub(crate) fn suspect(&mut self, scope: &Scope) {
        let now = self.clock.now();
        let mut touched = Vec::new();
        for entry in self.claims.iter_mut() {
            let meant = match scope {
                Scope::All => true,
                Scope::Name(name) => entry.claim.name == *name,
                Scope::Claim(claim) => entry.claim.id == *claim,
            };
            if meant {
                entry.suspect = true;
                entry.next_renewal = now;
                touched.push(entry.claim.id);
            }
        }
        for claim in touched {
            self.claims.reschedule(claim);
        }
    }
}
