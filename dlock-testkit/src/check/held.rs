//! When each name was held.

use std::collections::BTreeMap;

use super::overlaps::believed_by_name;
use crate::history::History;

/// The times at which somebody believed to hold a name.
pub(super) struct Held<'h> {
    /// By name and time: spans that do not touch each other.
    spans: BTreeMap<&'h str, Vec<(u64, u64)>>,
}

impl<'h> Held<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let joined = believed_by_name(history).into_iter().map(|(name, mut holds)| {
            holds.sort_by_key(|(_, hold)| hold.since);
            let mut spans: Vec<(u64, u64)> = Vec::new();
            for (_, hold) in holds {
                match spans.last_mut() {
                    Some((_, until)) if hold.since <= *until => *until = hold.until.max(*until),
                    _ => spans.push((hold.since, hold.until)),
                }
            }
            (name, spans)
        });
        Self { spans: joined.collect() }
    }

    /// Whether `name` was held all the time.
    pub(super) fn throughout(&self, name: &str, (from, to): (u64, u64)) -> bool {
        self.of_name(name).iter().any(|(since, until)| *since <= from && to <= *until)
    }

    /// The times from `from` to `to` at which nobody held `name`.
    pub(super) fn gaps(&self, name: &str, (from, to): (u64, u64)) -> Vec<(u64, u64)> {
        let mut free_from = from;
        let mut gaps = Vec::new();
        for (since, until) in self.of_name(name).iter().copied().chain([(to, to)]) {
            if free_from < since {
                gaps.push((free_from, since));
            }
            free_from = free_from.max(until);
        }
        gaps
    }

    fn of_name(&self, name: &str) -> &[(u64, u64)] {
        self.spans.get(name).map_or(&[], Vec::as_slice)
    }
}
