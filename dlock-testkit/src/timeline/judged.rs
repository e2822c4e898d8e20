//! What the checker found, as marks.

use super::mark::{Mark, Verdict};
use crate::check::{Corruption, Report, Violation};
use crate::history::Register;

/// Everything that `report` says of a history, by time: what is excused there is [not
/// promised](Verdict::NotPromised), and so is what happened to registers without a fence.
#[must_use]
pub fn marks(report: &Report) -> Vec<Mark> {
    let violations = report.violations.iter().map(|violation| found(violation, Verdict::Violation));
    let excused = report.excused.iter().map(|violation| found(violation, Verdict::NotPromised));
    let mut marks: Vec<_> = violations.chain(excused).chain(report.corruptions.iter().map(corrupted)).collect();
    marks.sort_by_key(|mark| mark.from);
    marks
}

fn found(violation: &Violation, verdict: Verdict) -> Mark {
    Mark {
        verdict,
        kind: violation.breach.to_string(),
        from: violation.at,
        to: violation.until.max(violation.at),
        name: violation.name.clone(),
        register: violation.breach.is_of_the_fence().then_some(Register::Fenced),
        ops: violation.ops.iter().map(|culprit| (culprit.process.clone(), culprit.op)).collect(),
        message: violation.message.clone(),
    }
}

fn corrupted(Corruption { at, name, owner, expected, found, .. }: &Corruption) -> Mark {
    Mark {
        verdict: Verdict::NotPromised,
        kind: "corruption".to_owned(),
        from: *at,
        to: *at,
        name: Some(name.clone()),
        register: Some(Register::Unfenced),
        ops: Vec::new(),
        message: format!("{owner} wrote {found} to the unfenced register of {name}, where {expected} was due"),
    }
}
