//! Ending a run early.

use std::sync::Arc;

use tokio::sync::watch;

/// Stops a run of the suite from another thread. Clones stop the same run.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// One that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Stops the run: cases that have begun are cut short and clean up, no other begins.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was used.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn stopped(&self) {
        let stopped = self.0.subscribe().wait_for(|stopped| *stopped).await.is_ok();
        debug_assert!(stopped, "the sender is borrowed here");
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}
