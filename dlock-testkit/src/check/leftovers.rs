//! Whether anything was left in the store.

use super::{Breach, Violation};
use crate::history::{History, What};

/// How much the last scan found: claims that the service shows, or entries that its tools count,
/// whichever are more. `None` where nobody looked.
pub(super) fn left(history: &History) -> Option<u64> {
    scan(history).map(|(_, claims, entries)| claims.max(entries))
}

/// The violation that it is if something was left.
pub(super) fn leftovers(history: &History) -> Option<Violation> {
    let (at, claims, entries) = scan(history).filter(|(_, claims, entries)| *claims > 0 || *entries > 0)?;
    let message = format!(
        "all clients are closed and all ttls are over, but {claims} claims and {entries} entries are in the store"
    );
    Some(Violation::new(history, Breach::Leftover, (at, at), None, &[], message))
}

fn scan(history: &History) -> Option<(u64, u64, u64)> {
    history.events.iter().rev().find_map(|event| match event.what {
        What::Scanned { claims, entries } => Some((event.at, claims, entries.unwrap_or(0))),
        _ => None,
    })
}
