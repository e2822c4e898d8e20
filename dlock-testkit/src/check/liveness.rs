//! Whether all were served.

use std::collections::BTreeMap;

use super::{Breach, Violation};
use crate::history::{End, History, Hold, Op, Outcome, What};

/// Operations that never ended, and names on which nobody was served any more.
pub(super) fn liveness(history: &History) -> Vec<Violation> {
    let last = |wanted: fn(&What) -> bool| history.events.iter().rfind(|event| wanted(&event.what));
    let mut found = Vec::new();
    if let Some(healed) = last(|what| matches!(what, What::Healed)) {
        found.extend(starved(history, healed.at));
    }
    if let Some(scanned) = last(|what| matches!(what, What::Scanned { .. })) {
        found.extend(hung(history, scanned.at));
        found.extend(unaware(history, scanned.at));
    }
    found
}

/// By the time of the scan, every client has finished what it began, or was given up.
fn hung(history: &History, scanned: u64) -> impl Iterator<Item = Violation> {
    let is_gone =
        |op: &Op| history.events.iter().any(|event| matches!(&event.what, What::Gone { who } if *who == op.process));
    history.ops.iter().filter_map(move |op| {
        let (since, what) = match &op.outcome {
            Outcome::Pending => (op.invoked, "waited for"),
            Outcome::Held(Hold { noticed, end: End::Released { answered: None, .. }, .. }) if !is_gone(op) => {
                (*noticed, "released")
            }
            _ => return None,
        };
        let message = format!("{} {what} {}, and was never answered", op.owner, op.name);
        let span = (since, history.end());
        (since < scanned).then(|| Violation::new(history, Breach::Hung, span, Some(&op.name), &[op], message))
    })
}

/// By the time of the scan, every client is closed and every ttl is over. Who still holds then has
/// neither released nor learned that it lost.
fn unaware(history: &History, scanned: u64) -> impl Iterator<Item = Violation> {
    let holds = history.ops.iter().filter_map(|op| Some((op, op.hold()?)));
    holds.filter(move |(_, hold)| hold.end == End::Open && hold.since < scanned).map(|(op, hold)| {
        let message = format!("{} neither released {} nor was told that it lost it", op.owner, op.name);
        Violation::new(history, Breach::Hung, (hold.since, history.end()), Some(&op.name), &[op], message)
    })
}

fn starved(history: &History, healed: u64) -> Vec<Violation> {
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
