//! What the driver has to do later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use dlock_core::ClaimId;
use tokio::time::Instant;

/// Tasks by the time they are due.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Instant, ClaimId, Task)>>);

/// Something to do for one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Look whether what the claim waits for has gone, and again after growing pauses: a closing
    /// description is announced a moment before its lock is dropped.
    Confirm(Duration),
    /// Look for ever, where nothing is pushed.
    Poll,
    /// Judge the claim anew.
    Settle,
    /// Begin to watch the claim's own file. Most claims are gone before it is due.
    WatchOwn,
}

impl Timers {
    /// Adds a task, and tells whether it is now the first that is due.
    pub(crate) fn add(&mut self, at: Instant, claim: ClaimId, task: Task) -> bool {
        let first = self.next().is_none_or(|next| at < next);
        self.0.push(Reverse((at, claim, task)));
        first
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes what is due by now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(ClaimId, Task)> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            due.extend(self.0.pop().map(|Reverse((_, claim, task))| (claim, task)));
        }
        due
    }
}
