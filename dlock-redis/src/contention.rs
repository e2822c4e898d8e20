//! Which names others were met on lately.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dlock_core::{Clock, Instant, LockName};

/// Names for which the commands for a free name would most likely be in vain.
#[derive(Debug)]
pub(crate) struct Contention {
    until: Mutex<HashMap<LockName, Instant>>,
    clock: Clock,
}

/// For how long after others were met on a name its next request goes to the script at once.
const LASTS: Duration = Duration::from_secs(1);
const NAMES: usize = 4096;

impl Contention {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { until: Mutex::default(), clock }
    }

    pub(crate) fn is_on(&self, name: &LockName) -> bool {
        let until = self.lock();
        // Nothing is contended, as a rule; then not even the clock is asked.
        until.get(name).is_some_and(|until| self.clock.now() < *until)
    }

    pub(crate) fn met(&self, name: &LockName) {
        let now = self.clock.now();
        let mut until = self.lock();
        if until.len() >= NAMES {
            until.retain(|_, until| now < *until);
        }
        // Only a shortcut is forgone when there is no room.
        if until.len() < NAMES {
            until.insert(name.clone(), now + LASTS);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LockName, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
