//! How much happened.

use serde::Serialize;

use crate::history::{End, History, Outcome, Register, What};

/// How much happened in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Operations that were invoked.
    pub operations: usize,
    /// Those that came to hold their name.
    pub acquisitions: usize,
    /// Those that did not get it.
    pub failed: usize,
    /// Those whose error said nothing about their claim.
    pub unknown: usize,
    /// Those whose process was gone before they were answered.
    pub abandoned: usize,
    /// Holds that were lost.
    pub lost: usize,
    /// Faults that began.
    pub faults: usize,
    /// Accesses to fenced registers.
    pub fenced: Accesses,
    /// Accesses to unfenced registers.
    pub unfenced: Accesses,
}

/// Accesses to registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accesses {
    /// Reads that were answered.
    pub reads: usize,
    /// Reads that were refused.
    pub reads_refused: usize,
    /// Writes that were accepted.
    pub writes: usize,
    /// Writes that were refused.
    pub writes_refused: usize,
}

impl Totals {
    pub(super) fn of(history: &History) -> Self {
        let mut totals = Self { operations: history.ops.len(), faults: history.faults.len(), ..Self::default() };
        for op in &history.ops {
            match &op.outcome {
                Outcome::Held(hold) => {
                    totals.acquisitions += 1;
                    totals.lost += usize::from(matches!(hold.end, End::Lost(_)));
                }
                Outcome::Failed { .. } => totals.failed += 1,
                Outcome::Unknown { .. } => totals.unknown += 1,
                Outcome::Abandoned { .. } => totals.abandoned += 1,
                Outcome::Pending => {}
            }
        }
        for event in &history.events {
            match event.what {
                What::Read { register, value, .. } => {
                    let accesses = totals.accesses(register);
                    *(if value.is_some() { &mut accesses.reads } else { &mut accesses.reads_refused }) += 1;
                }
                What::Write { register, accepted, .. } => {
                    let accesses = totals.accesses(register);
                    *(if accepted { &mut accesses.writes } else { &mut accesses.writes_refused }) += 1;
                }
                _ => {}
            }
        }
        totals
    }

    fn accesses(&mut self, register: Register) -> &mut Accesses {
        match register {
            Register::Fenced => &mut self.fenced,
            Register::Unfenced => &mut self.unfenced,
        }
    }
}
