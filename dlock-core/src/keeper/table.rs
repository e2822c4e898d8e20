use std::collections::{BTreeSet, HashMap};

use super::entry::Entry;
use crate::{ClaimId, Instant};

/// All claims of a client, and when each wants its next turn.
#[derive(Default)]
pub(crate) struct Table {
    entries: HashMap<ClaimId, Entry>,
    due: BTreeSet<(Instant, ClaimId)>,
}

impl Table {
    pub(crate) fn insert(&mut self, entry: Entry) {
        let claim = entry.claim.id;
        self.entries.insert(claim, entry);
        self.reschedule(claim);
    }

    pub(crate) fn get_mut(&mut self, claim: ClaimId) -> Option<&mut Entry> {
        self.entries.get_mut(&claim)
    }

    pub(crate) fn remove(&mut self, claim: ClaimId) -> Option<Entry> {
        let entry = self.entries.remove(&claim)?;
        if let Some(at) = entry.due {
            self.due.remove(&(at, claim));
        }
        Some(entry)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut()
    }

    pub(crate) fn ids(&self) -> Vec<ClaimId> {
        self.entries.keys().copied().collect()
    }

    /// Notes when the entry wants its next turn, after anything about it has changed.
    pub(crate) fn reschedule(&mut self, claim: ClaimId) {
        let Some(entry) = self.entries.get_mut(&claim) else { return };
        let next = entry.next_turn();
        if next == entry.due {
            return;
        }
        if let Some(at) = entry.due {
            self.due.remove(&(at, claim));
        }
        if let Some(at) = next {
            self.due.insert((at, claim));
        }
        entry.due = next;
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Those whose turn it is. They are scheduled anew by their turn.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ClaimId> {
        let mut taken = Vec::new();
        while let Some((at, claim)) = self.due.first().copied() {
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(entry) = self.entries.get_mut(&claim) {
                entry.due = None;
            }
            taken.push(claim);
        }
        taken
    }

    /// Those that want a turn at or before `until`.
    pub(crate) fn due_by(&self, until: Instant) -> Vec<ClaimId> {
        self.due.iter().take_while(|(at, _)| *at <= until).map(|(_, claim)| *claim).collect()
    }
}
