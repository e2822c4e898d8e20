//! What came of each kind of fault.

use std::collections::BTreeMap;

use serde::Serialize;

use super::overlaps::believed_by_name;
use super::{Breach, Samples, Violation};
use crate::history::{End, Fault, History, Hold, Op};

/// What happened under all faults of a kind. What happens belongs to the fault that began last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FaultRow {
    /// The kind; empty for what happened before the first fault.
    pub kind: String,
    /// How many there were.
    pub faults: usize,
    /// Operations that came to hold a name.
    pub acquisitions: usize,
    /// Fenced registers that went wrong.
    pub fenced: usize,
    /// Tokens out of order, or given twice.
    pub tokens: usize,
    /// Overlaps that are not excused.
    pub overlaps: usize,
    /// Overlaps that are, and grants that were told after the next.
    pub excused: usize,
    /// From the end of a fault to the first hold of a name that began after it, for every name that
    /// it could hit.
    pub recovery: Samples,
    /// From the beginning of a fault to the moment at which a holder that it could hit was told that
    /// it lost its lease.
    pub loss_detection: Samples,
    /// From the end of a holder's validity to the moment at which it was told, where it was not
    /// stopped.
    pub noticed_late: Samples,
}

impl FaultRow {
    /// Adds what happened under the same kind in another run.
    pub(super) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.acquisitions += other.acquisitions;
        self.fenced += other.fenced;
        self.tokens += other.tokens;
        self.overlaps += other.overlaps;
        self.excused += other.excused;
        self.recovery = self.recovery.and(&other.recovery);
        self.loss_detection = self.loss_detection.and(&other.loss_detection);
        self.noticed_late = self.noticed_late.and(&other.noticed_late);
    }
}

/// A row for each kind of fault, after one for what happened before all faults.
pub(super) fn rows(history: &History, found: &[Violation]) -> Vec<FaultRow> {
    let mut rows: BTreeMap<&str, FaultRow> = BTreeMap::new();
    for fault in &history.faults {
        rows.entry(&fault.info.kind).or_default().faults += 1;
    }
    for hold in history.ops.iter().filter_map(Op::hold) {
        rows.entry(kind(history, hold.since)).or_default().acquisitions += 1;
    }
    for violation in found {
        let row = rows.entry(kind(history, violation.at)).or_default();
        match (violation.breach, &violation.excused_by) {
            (Breach::Overlap, None) => row.overlaps += 1,
            (Breach::Overlap | Breach::Inversion, Some(_)) => row.excused += 1,
            (breach, _) if breach.is_of_the_fence() => row.fenced += 1,
            (breach, None) if breach.is_of_tokens() => row.tokens += 1,
            _ => {}
        }
    }
    let [mut recovery, mut loss_detection, mut noticed_late] = [recoveries, detections, lateness].map(|of| of(history));
    for kind in recovery.keys().chain(loss_detection.keys()).chain(noticed_late.keys()) {
        rows.entry(kind).or_default();
    }
    let measured = rows.into_iter().map(|(kind, row)| FaultRow {
        kind: kind.to_owned(),
        recovery: recovery.remove(kind).into_iter().flatten().collect(),
        loss_detection: loss_detection.remove(kind).into_iter().flatten().collect(),
        noticed_late: noticed_late.remove(kind).into_iter().flatten().collect(),
        ..row
    });
    measured.collect()
}

/// Spans of time, by the kind of fault.
type ByKind<'h> = BTreeMap<&'h str, Vec<u64>>;

fn recoveries(history: &History) -> ByKind<'_> {
    let mut names = believed_by_name(history);
    for holds in names.values_mut() {
        holds.sort_by_key(|(_, hold)| hold.since);
    }
    let mut recoveries = ByKind::new();
    for fault in &history.faults {
        let Some(ended) = fault.ended else { continue };
        for (_, holds) in names.iter().filter(|(name, _)| fault.could_hit(name)) {
            let next = holds.partition_point(|(_, hold)| hold.since < ended);
            if let Some((_, hold)) = holds.get(next) {
                recoveries.entry(&fault.info.kind).or_default().push(hold.since - ended);
            }
        }
    }
    recoveries
}

fn detections(history: &History) -> ByKind<'_> {
    let mut detections = ByKind::new();
    for (op, hold) in losses(history) {
        if let Some(fault) = to_blame(history, op, hold) {
            detections.entry(&fault.info.kind).or_default().push(hold.noticed - fault.begun);
        }
    }
    detections
}

fn lateness(history: &History) -> ByKind<'_> {
    let mut lateness = ByKind::new();
    for (op, hold) in losses(history) {
        let stopped = |fault: &Fault| {
            fault.stops_a_worker() && fault.is_aimed_at(&op.process) && fault.is_under_way(hold.until, hold.noticed)
        };
        if !history.faults.iter().any(stopped) {
            let kind = to_blame(history, op, hold).map_or("", |fault| &fault.info.kind);
            lateness.entry(kind).or_default().push(hold.noticed.saturating_sub(hold.until));
        }
    }
    lateness
}

/// The holds that were lost.
pub(super) fn losses(history: &History) -> impl Iterator<Item = (&Op, &Hold)> {
    let holds = history.ops.iter().filter_map(|op| Some((op, op.hold()?)));
    holds.filter(|(_, hold)| matches!(hold.end, End::Lost(_)))
}

/// The last fault that began before the holder was told, and could hit it.
fn to_blame<'h>(history: &'h History, op: &Op, hold: &Hold) -> Option<&'h Fault> {
    begun_by(history, hold.noticed)
        .iter()
        .rfind(|fault| (fault.info.worker.is_none() || fault.is_aimed_at(&op.process)) && fault.could_hit(&op.name))
}

/// The kind of the fault that began last; empty before the first one.
fn kind(history: &History, at: u64) -> &str {
    begun_by(history, at).last().map_or("", |fault| &fault.info.kind)
}

fn begun_by(history: &History, at: u64) -> &[Fault] {
    &history.faults[..history.faults.partition_point(|fault| fault.begun <= at)]
}
