use std::collections::BTreeSet;

use crate::ClaimId;

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

impl Lane {
    /// Whether a request may be sent now. It then is under way until [`Lane::leave`].
    pub(crate) fn enter(&mut self) -> bool {
        let has_room = self.under_way < WIDTH;
        self.under_way += usize::from(has_room);
        has_room
    }

    /// One that was under way has ended.
    pub(crate) fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Puts a claim at the end of the line, and answers its place.
    pub(crate) fn line_up(&mut self, claim: ClaimId) -> u64 {
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
