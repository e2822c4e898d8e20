use std::collections::BTreeSet;

use super::entry::Entry;
use crate::{ClaimId, Instant};

/// Enough to hide a round trip, and few enough that all of them are answered in time also where the
/// service or this machine is slow.
const WIDTH: usize = 64;

/// Lets so many requests be under way at the same time; the others stand in line.
///
/// A backend counts the time for an answer from when it gets a request. If it got ten thousand at
/// once, the last would be given up, and repeated, while the first are still being worked on.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    under_way: usize,
    places: u64,
    line: BTreeSet<(u64, ClaimId)>,
}

/// Whether something may be sent.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Now. It then is under way until [`Lane::leave`].
    Now,
    /// It stands in line.
    Later,
    /// It has waited in vain: the service answers nobody.
    Never,
}

impl Lane {
    /// Whose turn it is, if the claim asks. One that stands in line already waits on, until the
    /// service has answered nothing for so long that `patience_ends`; one that is new there looks
    /// at `first_look`.
    pub(crate) fn turn(
        &mut self,
        entry: &mut Entry,
        patience_ends: Instant,
        first_look: Instant,
        now: Instant,
    ) -> Turn {
        let claim = entry.claim.id;
        match entry.place {
            Some(_) if now < patience_ends => {
                entry.repeat_at = patience_ends;
                Turn::Later
            }
            Some(place) => {
                entry.place = None;
                self.step_out(place, claim);
                Turn::Never
            }
            None if self.under_way < WIDTH => {
                self.under_way += 1;
                Turn::Now
            }
            None => {
                entry.place = Some(self.line_up(claim));
                entry.repeat_at = first_look;
                Turn::Later
            }
        }
    }

    /// One that was under way has ended.
    pub(crate) fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Puts a claim at the end of the line, and answers its place.
    fn line_up(&mut self, claim: ClaimId) -> u64 {
        self.places += 1;
        self.line.insert((self.places, claim));
        self.places
    }

    /// It does not wait any more.
    pub(crate) fn step_out(&mut self, place: u64, claim: ClaimId) {
        self.line.remove(&(place, claim));
    }

    /// Takes the first of the line, if there is room for it.
    pub(crate) fn next(&mut self) -> Option<ClaimId> {
        if self.under_way < WIDTH { self.line.pop_first().map(|(_, claim)| claim) } else { None }
    }
}
