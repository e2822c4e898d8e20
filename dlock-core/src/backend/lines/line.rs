use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::runtime::Id;
use tokio::sync::Notify;

use crate::Landed;

/// One connection of [`Lines`](super::Lines), and the runtime that its driver runs on.
pub struct Line<C> {
    pub(super) runtime: Id,
    pub(super) generation: u64,
    connection: C,
    /// How many requests are under way.
    waiting: AtomicU64,
    answered: AtomicU64,
    /// What stood in `answered` at the last look, and one more, if there were any requests under way.
    looked_at: AtomicU64,
    /// Rung when it is given up: whoever waits for an answer on it ends.
    cut: Notify,
    is_cut: AtomicBool,
}

impl<C> Line<C> {
    pub(super) fn new(runtime: Id, generation: u64, connection: C) -> Self {
        Self {
            runtime,
            generation,
            connection,
            waiting: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            cut: Notify::new(),
            is_cut: AtomicBool::new(false),
        }
    }

    /// What was dialled.
    pub fn connection(&self) -> &C {
        &self.connection
    }

    /// Waits for the answer to a request on the connection.
    ///
    /// # Errors
    /// When the line is given up before: whether the request could have been sent by then.
    ///
    /// # Cancel safety
    /// As safe as `request` is.
    pub async fn answer<T>(&self, request: impl Future<Output = T>) -> Result<T, Landed> {
        let _waiting = Waiting::on(self);
        let cut = self.cut.notified();
        if self.is_cut.load(Ordering::Acquire) {
            return Err(Landed::No);
        }
        let answer = tokio::select! {
            biased;
            answer = request => answer,
            () = cut => return Err(Landed::Maybe),
        };
        self.answered.fetch_add(1, Ordering::AcqRel);
        Ok(answer)
    }

    /// Whether nothing was answered since the last look, at which answers were awaited already.
    pub(super) fn stands_still(&self) -> bool {
        let (waiting, answered) = (self.waiting.load(Ordering::Acquire), self.answered.load(Ordering::Acquire));
        let looked_at = if waiting > 0 { answered + 1 } else { 0 };
        self.looked_at.swap(looked_at, Ordering::AcqRel) == looked_at && looked_at > 0
    }

    /// Whether anybody waits for an answer; ends it if not.
    pub(super) fn is_awaited(&self) -> bool {
        let is_awaited = self.waiting.load(Ordering::Acquire) > 0;
        if !is_awaited {
            // Somebody may be about to.
            self.cut();
        }
        is_awaited
    }

    /// Whoever waits for an answer on it ends.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.cut.notify_waiters();
    }
}

impl<C> fmt::Debug for Line<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("runtime", &self.runtime)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// A request that is under way, until its caller has the answer or goes away.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn on<C>(line: &'a Line<C>) -> Self {
        line.waiting.fetch_add(1, Ordering::AcqRel);
        Self(&line.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
