//! Whether all were answered, and told in time.

use super::faults::losses;
use super::{Breach, Violation};
use crate::history::{End, Fault, History, Hold, Op, Outcome, What};

/// A holder that runs is told of its loss no later than this after the end of its validity, in
/// nanoseconds. Its own clock tells it, which takes some milliseconds; the rest is for a busy machine.
const LATEST: u64 = 5_000_000_000;

/// Operations that never ended, and losses that were told late.
pub(super) fn liveness(history: &History) -> Vec<Violation> {
    let mut found: Vec<_> = told_late(history).collect();
    if let Some(scanned) = history.events.iter().rfind(|event| matches!(event.what, What::Scanned { .. })) {
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

/// A process that was stopped has the same time from its resumption. Who was killed is told nothing.
fn told_late(history: &History) -> impl Iterator<Item = Violation> {
    losses(history).filter_map(|(op, hold)| {
        let valid = hold.until.max(hold.since);
        let stopped = |fault: &&Fault| {
            fault.stops_a_worker() && fault.is_aimed_at(&op.process) && fault.is_under_way(valid, hold.noticed)
        };
        let resumed = history.faults.iter().filter(stopped).map(|fault| fault.ended.unwrap_or(hold.noticed));
        let late = hold.noticed.saturating_sub(resumed.fold(valid, u64::max));
        let message = format!(
            "{} was told that it lost {} only {:.1} s after the end of its validity",
            op.owner,
            op.name,
            hold.noticed.saturating_sub(valid) as f64 / 1e9
        );
        let span = (valid, hold.noticed);
        (late > LATEST).then(|| Violation::new(history, Breach::ToldLate, span, Some(&op.name), &[op], message))
    })
}
