//! What a checker wants to be seen.

use crate::history::Register;

/// A place in a history that somebody must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whether it counts.
    pub verdict: Verdict,
    /// What it is, in a word or two: `overlap`, `token order`.
    pub kind: String,
    /// Where it begins, in nanoseconds of the history's clock.
    pub from: u64,
    /// Where it ends; not before `from`, the same for a moment.
    pub to: u64,
    /// The name concerned, where it is one.
    pub name: Option<String>,
    /// Which register of the name is concerned; `None` for all that it has.
    pub register: Option<Register>,
    /// The operations concerned: process, and number in that process.
    pub ops: Vec<(String, u64)>,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// How much a [`Mark`] weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something that was promised did not hold.
    Violation,
    /// It happened where nothing else was promised: under such a fault, or without a fence.
    NotPromised,
}
