//! A fault, from its beginning to its end.

use super::FaultInfo;

/// A fault that the lab made.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What was done, and to whom.
    pub info: FaultInfo,
    /// When it began.
    pub begun: u64,
    /// When it was over; `None` if it lasted to the end of the history.
    pub ended: Option<u64>,
}

impl Fault {
    /// Whether it is aimed at this process.
    #[must_use]
    pub fn is_aimed_at(&self, process: &str) -> bool {
        self.info.worker.as_deref() == Some(process)
    }

    /// Whether it keeps a process of the run from doing anything: a `stop` that is aimed at a worker.
    #[must_use]
    pub fn stops_a_worker(&self) -> bool {
        self.info.worker.is_some() && self.info.kind.starts_with("stop")
    }

    /// Whether it was under way at any time from `from` to `to`, both included.
    #[must_use]
    pub fn is_under_way(&self, from: u64, to: u64) -> bool {
        self.begun <= to && self.ended.is_none_or(|ended| ended >= from)
    }

    /// Whether it could do anything to `name`.
    #[must_use]
    pub fn could_hit(&self, name: &str) -> bool {
        self.info.name.as_deref().is_none_or(|aim| aim == name)
    }

    /// Whether exclusion of `name` is not promised at `at`, because of it.
    #[must_use]
    pub fn breaks_exclusion(&self, name: &str, at: u64) -> bool {
        let Some(after) = self.info.breaks_exclusion_for else { return false };
        let over = self.ended.map_or(u64::MAX, |ended| ended.saturating_add(after));
        (self.begun..=over).contains(&at) && self.could_hit(name)
    }
}
