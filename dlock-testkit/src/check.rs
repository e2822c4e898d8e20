//! Judges a history.
//!
//! [`check`] looks for what must not be: two holders that believe at the same time, tokens that do
//! not grow or begin anew, a fenced register that lost an update, somebody who was not served or told
//! in time, something left in the store. The [`Report`] lists each violation with the operations in
//! it and what happened around it; [`tables`] makes tables of several runs.

mod faults;
mod held;
mod leftovers;
mod liveness;
mod overlaps;
mod registers;
mod report;
mod samples;
mod starvation;
mod tables;
mod tokens;
mod totals;
mod violation;
mod window;
mod writers;

pub use self::faults::FaultRow;
pub use self::registers::Corruption;
pub use self::report::Report;
pub use self::samples::Samples;
pub use self::tables::tables;
pub use self::tokens::EpochChange;
pub use self::totals::{Accesses, Totals};
pub use self::violation::{Breach, Culprit, Violation};

use crate::history::{End, History, What};

/// Of so many releases most must be answered without an error: fewer say nothing.
const RELEASES: usize = 10;

/// Judges a history.
#[must_use]
pub fn check(history: &History) -> Report {
    let mut found = overlaps::overlaps(history);
    let (disordered, epochs) = tokens::tokens(history);
    found.extend(disordered);
    let (fenced, corruptions) = registers::registers(history);
    found.extend(fenced);
    found.extend(liveness::liveness(history));
    found.extend(starvation::starvation(history));
    found.extend(leftovers::leftovers(history));
    found.sort_by_key(|violation| violation.at);
    let rows = faults::rows(history, &found);
    let (excused, mut violations): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|violation| violation.excused_by.is_some());
    window::show_the_first(history, &mut violations);
    let (mut store, mut seed, mut command) = (None, None, None);
    for event in &history.events {
        if let What::About { store: of, seed: with, command: by } = &event.what {
            (store, seed, command) = (Some(of.clone()), Some(*with), Some(by.clone()));
        }
    }
    Report {
        store,
        seed,
        command,
        incomplete: incomplete(history),
        totals: Totals::of(history),
        violations,
        excused,
        corruptions,
        epochs,
        orphans: leftovers::left(history),
        noticed_late: rows.iter().fold(Samples::default(), |all, row| all.and(&row.noticed_late)),
        rows,
        cut_off: history.cut_off.clone(),
    }
}

/// What is missing before the history can prove anything.
fn incomplete(history: &History) -> Vec<String> {
    let mut missing = Vec::new();
    let mut require = |is_there: bool, message: &str| {
        if !is_there {
            missing.push(message.to_owned());
        }
    };
    let has = |wanted: fn(&What) -> bool| history.events.iter().any(|event| wanted(&event.what));
    let anybody_held = history.ops.iter().any(|op| op.hold().is_some());
    require(anybody_held, "nobody ever held anything");
    require(
        has(|what| matches!(what, What::Write { accepted: true, .. })),
        "no register was ever written: nothing shows what the lock protects",
    );
    require(has(|what| matches!(what, What::Healed)), "the faults never ended: nothing shows that all were served");
    require(has(|what| matches!(what, What::Scanned { .. })), "the store was not scanned at the end for what is left");
    if let Some(owner) = writers::stranger(history).filter(|_| anybody_held) {
        missing.push(format!("{owner} was at a register with what no recorded operation held: a file has a gap"));
    }
    missing.extend(registers::gap(history));
    missing.extend(failed_releases(history));
    missing
}

/// A lock whose releases mostly fail proves nothing: its holds may end by their ttls alone.
fn failed_releases(history: &History) -> Option<String> {
    let ends = history.ops.iter().filter_map(|op| Some(&op.hold()?.end));
    let answers = ends.filter_map(|end| match end {
        End::Released { answered: Some(_), error } => Some(error.is_some()),
        _ => None,
    });
    let (mut all, mut failed) = (0, 0);
    for is_error in answers {
        all += 1;
        failed += usize::from(is_error);
    }
    (all >= RELEASES && failed * 2 > all)
        .then(|| format!("{failed} of {all} releases were answered by errors: nothing shows what a release does"))
}
