//! Whether tokens grow.

use std::collections::{BTreeMap, HashMap};

use dlock_core::Token;
use serde::Serialize;

use super::{Breach, Violation};
use crate::history::{History, Hold, Op};

/// From one hold of a name to the next, the tokens began anew.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochChange {
    /// When the first hold of the new epoch began, in nanoseconds of the history's clock.
    pub at: u64,
    /// The name.
    pub name: String,
    /// The epoch before.
    pub from: u64,
    /// The new one.
    pub to: u64,
}

/// Tokens that were given twice, out of order or in a new epoch, and a list of the changes of epoch.
pub(super) fn tokens(history: &History) -> (Vec<Violation>, Vec<EpochChange>) {
    let mut names: BTreeMap<&str, Vec<Given<'_>>> = BTreeMap::new();
    for op in &history.ops {
        if let Some((hold, token)) = op.hold().and_then(|hold| Some((hold, hold.token?))) {
            names.entry(&op.name).or_default().push(Given { op, hold, token });
        }
    }
    let (mut found, mut epochs) = (Vec::new(), Vec::new());
    for (name, mut given) in names {
        given.sort_by_key(|given| given.hold.since);
        duplicates(history, name, &given, &mut found);
        given.retain(|given| given.hold.was_believed());
        inversions(history, name, &given, &mut found);
        for pair in given.windows(2) {
            let (from, to) = (pair[0].token.epoch, pair[1].token.epoch);
            if from != to {
                found.push(new_epoch(history, name, &pair[0], &pair[1]));
                epochs.push(EpochChange { at: pair[1].hold.since, name: name.to_owned(), from, to });
            }
        }
    }
    epochs.sort_by_key(|change| change.at);
    (found, epochs)
}

/// A token and who was given it.
struct Given<'h> {
    op: &'h Op,
    hold: &'h Hold,
    token: Token,
}

/// A store that keeps what it was told goes on with its epoch. No fault of the lab takes history from
/// a store, so that nothing excuses this; one that does is to say so in its `FaultInfo`, and to be
/// named here as the excuse, as it is for overlaps.
fn new_epoch(history: &History, name: &str, before: &Given<'_>, after: &Given<'_>) -> Violation {
    let message = format!(
        "{} came to hold {name} with token {}, after {} with token {}: the epoch changed",
        after.op.owner, after.token, before.op.owner, before.token
    );
    let span = (after.hold.since, after.hold.since);
    Violation::new(history, Breach::NewEpoch, span, Some(name), &[before.op, after.op], message)
}

/// Each operation that was given a token which another one had been given before.
fn duplicates(history: &History, name: &str, given: &[Given<'_>], found: &mut Vec<Violation>) {
    let mut first: HashMap<Token, &Op> = HashMap::new();
    for Given { op, hold, token } in given {
        if let Some(before) = first.get(token) {
            let message = format!("{} and {} were both given token {token} of {name}", before.owner, op.owner);
            let span = (hold.since, hold.since);
            found.push(Violation::new(history, Breach::Duplicate, span, Some(name), &[before, op], message));
        } else {
            first.insert(*token, op);
        }
    }
}

/// Each hold that began later than one with a higher token, named with the highest of those.
fn inversions(history: &History, name: &str, given: &[Given<'_>], found: &mut Vec<Violation>) {
    let mut highest: HashMap<u64, &Given<'_>> = HashMap::new();
    for later in given {
        match highest.get(&later.token.epoch) {
            Some(before) if before.token.value > later.token.value => {
                let message = format!(
                    "{} came to hold {name} with token {}, after {} with token {}",
                    later.op.owner, later.token, before.op.owner, before.token
                );
                let span = (later.hold.since, later.hold.since);
                let ops = [before.op, later.op];
                found.push(Violation::new(history, Breach::Inversion, span, Some(name), &ops, message));
            }
            _ => {
                highest.insert(later.token.epoch, later);
            }
        }
    }
}
