//! Whether two operations believed at the same time that they held one name.
//!
//! A history says for each hold from when to when its holder could believe in it, so that exclusion
//! is a question about intervals, and a sweep by time answers it for the whole run. A search for a
//! linearization, which has to guess when each operation took effect, could find no more than that.

use std::collections::BTreeMap;

use super::{Breach, Violation};
use crate::history::{Fault, History, Hold, Op};

/// Every pair of operations that overlap, once each.
pub(super) fn overlaps(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, mut holds) in believed_by_name(history) {
        holds.sort_by_key(|(_, hold)| hold.since);
        let mut standing: Vec<(&Op, &Hold)> = Vec::new();
        for (op, hold) in holds {
            standing.retain(|(_, earlier)| earlier.until > hold.since);
            for (earlier_op, earlier) in &standing {
                let span = (hold.since, hold.until.min(earlier.until));
                found.push(overlap(history, name, span, earlier_op, op));
            }
            standing.push((op, hold));
        }
    }
    found
}

/// The holds of each name that were believed in at all.
pub(super) fn believed_by_name(history: &History) -> BTreeMap<&str, Vec<(&Op, &Hold)>> {
    let mut names: BTreeMap<&str, Vec<(&Op, &Hold)>> = BTreeMap::new();
    for op in &history.ops {
        if let Some(hold) = op.hold().filter(|hold| hold.was_believed()) {
            names.entry(&op.name).or_default().push((op, hold));
        }
    }
    names
}

fn overlap(history: &History, name: &str, span: (u64, u64), first: &Op, second: &Op) -> Violation {
    let message = format!(
        "{} and {} both believed for {:.3} ms that they hold {name}",
        first.owner,
        second.owner,
        (span.1 - span.0) as f64 / 1e6
    );
    // It may neither begin nor last where exclusion is promised: by then a holder has been told.
    let excuses = |fault: &&Fault| {
        let hits = |op: &Op| fault.is_aimed_at(&op.process);
        let (from, to) = span;
        fault.breaks_exclusion(name, from)
            && fault.breaks_exclusion(name, to)
            && (fault.info.worker.is_none() || hits(first) || hits(second))
    };
    let excuse = history.faults.iter().rfind(excuses);
    Violation {
        excused_by: excuse.map(|fault| fault.info.clone()),
        ..Violation::new(history, Breach::Overlap, span, Some(name), &[first, second], message)
    }
}
