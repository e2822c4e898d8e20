//! Whether tokens grow.

use std::collections::{BTreeMap, HashMap};

use dlock_core::Token;
use serde::Serialize;

use super::{Breach, Violation};
use crate::history::{Fault, History, Hold, Op};

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
        epochs.extend(changes(history, name, &given, &mut found));
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

/// Each hold whose token is of another epoch than that of the hold before. A store that keeps what it
/// was told goes on with its epoch; each fault that takes its history excuses one new epoch.
fn changes(history: &History, name: &str, given: &[Given<'_>], found: &mut Vec<Violation>) -> Vec<EpochChange> {
    let mut epochs: Vec<Epoch<'_>> = Vec::new();
    let mut changes = Vec::new();
    for (index, after) in given.iter().enumerate() {
        let known = epochs.iter().position(|epoch| epoch.number == after.token.epoch);
        let Some(before) = index.checked_sub(1).map(|before| &given[before]) else {
            epochs.push(Epoch { number: after.token.epoch, begun_by: None });
            continue;
        };
        if before.token.epoch == after.token.epoch {
            continue;
        }
        let excuse = match known {
            None => {
                let begun_by = begun_by(history, name, &epochs, &given[..index], after);
                epochs.push(Epoch { number: after.token.epoch, begun_by });
                begun_by.map(|cause| cause.first)
            }
            Some(known) => {
                let of_before = epochs.iter().position(|epoch| epoch.number == before.token.epoch);
                let older = if of_before < Some(known) { before } else { after };
                let next = known.min(of_before.unwrap_or(known)) + 1;
                epochs[next].begun_by.map(|cause| cause.last).filter(|fault| !was_asked_for_after(older, fault))
            }
        };
        let excused_by = excuse.map(|fault| fault.info.clone());
        found.push(Violation { excused_by, ..new_epoch(history, name, before, after) });
        let (from, to) = (before.token.epoch, after.token.epoch);
        changes.push(EpochChange { at: after.hold.since, name: name.to_owned(), from, to });
    }
    changes
}

/// An epoch of a name, and what made it begin.
struct Epoch<'h> {
    number: u64,
    begun_by: Option<Cause<'h>>,
}

/// The faults that may have made an epoch begin: where nobody is served for some time, there can be
/// several. One that restores the store from a snapshot takes history at its end only.
#[derive(Clone, Copy)]
struct Cause<'h> {
    /// The one that counts: so the later ones are left for the epochs that follow.
    first: &'h Fault,
    last: &'h Fault,
}

/// The faults by which the store may have forgotten the epochs before, when `after` is the first hold of
/// a new one: those that began before that and have made no other epoch begin. Had anybody asked after the
/// end of one and been given an older epoch, the store would have forgotten nothing by it.
fn begun_by<'h>(
    history: &'h History,
    name: &str,
    epochs: &[Epoch<'h>],
    earlier: &[Given<'_>],
    after: &Given<'_>,
) -> Option<Cause<'h>> {
    let is_used =
        |fault: &Fault| epochs.iter().any(|epoch| epoch.begun_by.is_some_and(|by| std::ptr::eq(by.first, fault)));
    let mut may_be = history.faults.iter().filter(|fault| {
        fault.info.takes_history
            && fault.could_hit(name)
            && fault.begun <= after.hold.since
            && !is_used(fault)
            && !earlier.iter().any(|earlier| was_asked_for_after(earlier, fault))
    });
    let first = may_be.next()?;
    Some(Cause { first, last: may_be.next_back().unwrap_or(first) })
}

fn was_asked_for_after(given: &Given<'_>, fault: &Fault) -> bool {
    fault.ended.is_some_and(|ended| given.op.invoked > ended)
}

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
                found.push(Violation {
                    excused_by: told_late(history, name, given, later).map(|fault| fault.info.clone()),
                    ..Violation::new(history, Breach::Inversion, span, Some(name), &ops, message)
                });
            }
            _ => {
                highest.insert(later.token.epoch, later);
            }
        }
    }
}

/// The fault that excuses a lower token, if there is one: whoever has it asked before any hold with a
/// higher token began, so that it may have been granted first and told last, and its claim may have
/// ended in between, because exclusion was not promised all that time.
fn told_late<'h>(history: &'h History, name: &str, given: &[Given<'_>], later: &Given<'_>) -> Option<&'h Fault> {
    let is_higher = |other: &&Given<'_>| other.token.epoch == later.token.epoch && other.token > later.token;
    let first = given.iter().find(is_higher)?.hold.since;
    let is_waived = |fault: &&Fault| [first, later.hold.since].iter().all(|at| fault.breaks_exclusion(name, *at));
    (later.op.invoked <= first).then(|| history.faults.iter().rfind(is_waived)).flatten()
}
