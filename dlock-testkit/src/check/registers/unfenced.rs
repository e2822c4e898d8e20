//! An unfenced register.

use std::collections::HashMap;

use serde::Serialize;

use super::Access;
use crate::history::{Fault, History};

/// A write to an unfenced register that undid another one. No lock can rule that out, because nothing
/// stops the write of a holder that has stood still.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Corruption {
    /// When it was written, in nanoseconds of the history's clock.
    pub at: u64,
    /// The name.
    pub name: String,
    /// Who wrote.
    pub owner: String,
    /// What the register should have become.
    pub expected: u64,
    /// What it became.
    pub found: u64,
    /// Whether every process ran all the time from the reads that led to it up to the write.
    pub all_ran: bool,
}

/// An unfenced register.
#[derive(Default)]
pub(super) struct Unfenced<'h> {
    /// When each owner last read it.
    reads: HashMap<&'h str, u64>,
    /// The last value, and when its writer had read the one before.
    last: Option<(u64, u64)>,
}

impl<'h> Unfenced<'h> {
    pub(super) fn read(&mut self, at: u64, owner: &'h str) {
        self.reads.insert(owner, at);
    }

    pub(super) fn write(&mut self, history: &History, access: Access<'h>, value: u64) -> Option<Corruption> {
        let Access { at, name, owner, .. } = access;
        let read = self.reads.get(owner).copied().unwrap_or(at);
        let (last, its_read) = self.last.replace((value, read))?;
        let expected = last.saturating_add(1);
        // Either of the two writers may be the one that was late.
        let stood_still = |fault: &Fault| fault.stops_a_worker() && fault.is_under_way(read.min(its_read), at);
        (value != expected).then(|| Corruption {
            at,
            name: name.to_owned(),
            owner: owner.to_owned(),
            expected,
            found: value,
            all_ran: !history.faults.iter().any(stood_still),
        })
    }
}
