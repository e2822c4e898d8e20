//! Whether all were served in time.

use std::collections::BTreeMap;

use super::held::Held;
use super::{Breach, Violation};
use crate::history::{History, Op, Outcome, What};

/// A name that somebody wants is free no longer than this, in nanoseconds. The longest fault lasts
/// 2.3 ttls, a ttl is one or two seconds, and a dead client's claim stays for a ttl and a grace: about
/// ten seconds, and up to fifteen where a store recovers as well. The rest is for a busy machine.
const LONGEST: u64 = 60_000_000_000;
/// Who tries again within this time after a vain attempt has waited on, in nanoseconds: a lock that
/// answers each attempt by an error serves nobody either.
const PAUSE: u64 = 1_000_000_000;

/// Names on which nobody was served, and processes that were served no more.
pub(super) fn starvation(history: &History) -> Vec<Violation> {
    let held = Held::of(history);
    let healed = history.events.iter().rfind(|event| matches!(event.what, What::Healed)).map(|event| event.at);
    let mut found = Vec::new();
    if let Some(healed) = healed {
        found.extend(unserved_names(history, healed));
        found.extend(unserved_processes(history, &held, healed));
    }
    let long: Vec<_> = free_for_long(history, &held)
        .into_iter()
        .filter(|long| !found.iter().any(|other| other.name == long.name && other.at < long.until))
        .collect();
    found.extend(long);
    found
}

fn unserved_names(history: &History, healed: u64) -> Vec<Violation> {
    let mut names: BTreeMap<&str, Name<'_>> = BTreeMap::new();
    for op in &history.ops {
        let name = names.entry(&op.name).or_default();
        match op.hold() {
            Some(hold) if hold.since >= healed => name.is_served = true,
            Some(hold) => name.free_from = name.free_from.max(hold.until),
            None => name.in_vain.push(op),
        }
    }
    let mut found = Vec::new();
    for (name, Name { is_served, free_from, mut in_vain }) in names {
        // Who only waited while somebody else held the name rightly was not overlooked.
        let from = free_from.max(healed);
        in_vain.retain(|op| op.answered().unwrap_or(history.end()) > from);
        if let (false, Some(first)) = (is_served, in_vain.first()) {
            let message = format!(
                "nobody came to hold {name} after the faults were over, though {} waited for it, and {} more",
                first.owner,
                in_vain.len() - 1
            );
            found.push(Violation::new(history, Breach::Starved, (from, history.end()), Some(name), &in_vain, message));
        }
    }
    found
}

/// What became of a name after the faults.
#[derive(Default)]
struct Name<'h> {
    is_served: bool,
    /// When the last of those who held it before could believe no longer.
    free_from: u64,
    in_vain: Vec<&'h Op>,
}

/// Processes that lived on and tried after the faults, and came to hold nothing. An attempt that was
/// never answered is found by itself.
fn unserved_processes(history: &History, held: &Held<'_>, healed: u64) -> Vec<Violation> {
    let mut in_vain: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| op.invoked >= healed) {
        if let Outcome::Failed { at, .. } | Outcome::Unknown { at, .. } = op.outcome
            && !held.throughout(&op.name, (op.invoked, at))
        {
            in_vain.entry(&op.process).or_default().push(op);
        }
    }
    for event in &history.events {
        if let What::Gone { who } = &event.what {
            in_vain.remove(who.as_str());
        }
    }
    for op in &history.ops {
        if op.hold().is_some_and(|hold| hold.since >= healed && hold.was_believed()) {
            in_vain.remove(op.process.as_str());
        }
    }
    let found = in_vain.into_iter().map(|(process, ops)| {
        let message = format!(
            "{process} came to hold nothing after the faults were over, though it tried {} times when a name was free",
            ops.len()
        );
        Violation::new(history, Breach::Starved, (healed, history.end()), None, &ops, message)
    });
    found.collect()
}

/// Names that nobody held for long, though somebody waited all the time.
fn free_for_long(history: &History, held: &Held<'_>) -> Vec<Violation> {
    let mut waits: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in &history.ops {
        waits.entry(&op.name).or_default().push(op);
    }
    let mut found = Vec::new();
    for (name, ops) in waits {
        for gap in held.gaps(name, (history.begin(), history.end())) {
            if is_long(gap) {
                found.extend(waited(history, &ops, gap).filter(|wait| is_long(wait.span)).map(|Wait { span, ops }| {
                    let message = format!(
                        "nobody held {name} for {:.1} s, though somebody waited for it all the time: {}, and {} more",
                        (span.1 - span.0) as f64 / 1e9,
                        ops[0].owner,
                        ops.len() - 1
                    );
                    Violation::new(history, Breach::Starved, span, Some(name), &ops, message)
                }));
            }
        }
    }
    found
}

fn is_long((from, to): (u64, u64)) -> bool {
    to - from > LONGEST
}

/// A time at which one or the other waited.
struct Wait<'h> {
    span: (u64, u64),
    /// Who, by the time of their invocation.
    ops: Vec<&'h Op>,
}

/// When some of `ops`, which are in order of invocation, waited between `from` and `to`.
fn waited<'h>(history: &History, ops: &[&'h Op], (from, to): (u64, u64)) -> impl Iterator<Item = Wait<'h>> + use<'h> {
    let mut waits: Vec<Wait<'h>> = Vec::new();
    for op in ops {
        let begun = op.invoked.max(from);
        let ended = op.answered().unwrap_or(history.end()).min(to);
        if begun > ended {
            continue;
        }
        match waits.last_mut() {
            Some(wait) if begun <= wait.span.1.saturating_add(PAUSE) => {
                wait.span.1 = wait.span.1.max(ended);
                wait.ops.push(op);
            }
            _ => waits.push(Wait { span: (begun, ended), ops: vec![op] }),
        }
    }
    waits.into_iter()
}
