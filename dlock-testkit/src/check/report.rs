//! What a history amounts to.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Breach, Corruption, EpochChange, FaultRow, Samples, Totals, Violation};

/// The judgement on a history. For machines, serialize it; for people, display it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The store, where the history says so.
    pub store: Option<String>,
    /// The seed of the schedule of faults.
    pub seed: Option<u64>,
    /// How to run it again.
    pub command: Option<String>,
    /// What is missing before the history can prove anything.
    pub incomplete: Vec<String>,
    /// How much happened.
    pub totals: Totals,
    /// What must not have happened, by time.
    pub violations: Vec<Violation>,
    /// What happened under faults that the lock does not promise to stand, by time.
    pub excused: Vec<Violation>,
    /// Writes to unfenced registers that undid others: what a lock without a fence is worth. Not
    /// violations.
    pub corruptions: Vec<Corruption>,
    /// Where tokens began anew.
    pub epochs: Vec<EpochChange>,
    /// What was left in the store: claims that it shows, or entries that its own tools count,
    /// whichever are more. `None` where nobody looked.
    pub orphans: Option<u64>,
    /// What happened under each kind of fault.
    pub rows: Vec<FaultRow>,
    /// From the end of a holder's validity to the moment at which it was told of its loss, where it
    /// was not stopped.
    pub noticed_late: Samples,
    /// Processes that were killed while they wrote a line.
    pub cut_off: Vec<String>,
}

impl Report {
    /// Whether the history is complete, and nothing in it must not be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.incomplete.is_empty() && self.violations.is_empty()
    }

    /// How many violations are of this kind.
    #[must_use]
    pub fn count(&self, of: impl Fn(Breach) -> bool) -> usize {
        self.violations.iter().filter(|violation| of(violation.breach)).count()
    }

    /// How often it happened where exclusion is not promised that two held, or that one was told of
    /// its grant only after the next.
    #[must_use]
    pub fn excused_of_exclusion(&self) -> usize {
        self.excused.iter().filter(|violation| violation.breach != Breach::NewEpoch).count()
    }

    /// How many corruptions happened while every process ran.
    #[must_use]
    pub fn corruptions_while_all_ran(&self) -> usize {
        self.corruptions.iter().filter(|corruption| corruption.all_ran).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.violations.len(), self.incomplete.len()) {
            (0, 0) => "sound".to_owned(),
            (0, _) => "incomplete".to_owned(),
            (1, _) => "1 violation".to_owned(),
            (count, _) => format!("{count} violations"),
        };
        write!(f, "{verdict}: {}", self.store.as_deref().unwrap_or("unknown store"))?;
        if let Some(seed) = self.seed {
            write!(f, ", seed {seed}")?;
        }
        let Totals { operations, acquisitions, failed, unknown, abandoned, lost, faults, fenced, unfenced } =
            &self.totals;
        writeln!(f, ", {faults} faults")?;
        writeln!(
            f,
            "  {operations} operations: {acquisitions} acquired ({lost} lost later), {failed} failed, \
             {unknown} unknown, {abandoned} abandoned"
        )?;
        for (kind, accesses) in [("fenced", fenced), ("unfenced", unfenced)] {
            writeln!(
                f,
                "  {kind} registers: {} reads ({} refused), {} writes ({} refused)",
                accesses.reads, accesses.reads_refused, accesses.writes, accesses.writes_refused
            )?;
        }
        writeln!(
            f,
            "  unfenced registers corrupted {} times, {} of these while every process ran",
            self.corruptions.len(),
            self.corruptions_while_all_ran()
        )?;
        writeln!(f, "  {} overlaps excused, {} changes of epoch", self.excused_of_exclusion(), self.epochs.len())?;
        for missing in &self.incomplete {
            writeln!(f, "  incomplete: {missing}")?;
        }
        for process in &self.cut_off {
            writeln!(f, "  {process} was killed while it wrote a line, which is left out")?;
        }
        self.fmt_violations(f)?;
        match &self.command {
            Some(command) if !self.is_sound() => writeln!(f, "run it again: {command}"),
            _ => Ok(()),
        }
    }
}

impl Report {
    fn fmt_violations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut without_window: BTreeMap<Breach, usize> = BTreeMap::new();
        for violation in &self.violations {
            if violation.window.is_empty() && violation.breach != Breach::Leftover {
                *without_window.entry(violation.breach).or_default() += 1;
                continue;
            }
            writeln!(f, "\n{} at {} ns: {}", violation.breach, violation.at, violation.message)?;
            for line in &violation.window {
                writeln!(f, "  {line}")?;
            }
        }
        if !without_window.is_empty() {
            writeln!(f)?;
        }
        for (breach, count) in without_window {
            writeln!(f, "{breach}: {count} more")?;
        }
        Ok(())
    }
}
