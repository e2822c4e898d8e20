use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Clock, Instant, LockName};

/// Names on which others were met lately: for them a request that can only take a free name would
/// most likely be in vain.
#[derive(Debug)]
pub struct Contention {
    until: Mutex<HashMap<LockName, Instant>>,
    clock: Clock,
}

/// For how long a name counts as contended after others were met on it.
const LASTS: Duration = Duration::from_secs(1);
/// How many are remembered at a time.
const NAMES: usize = 4096;

impl Contention {
    /// Nobody was met anywhere.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { until: Mutex::default(), clock }
    }

    /// Whether others were met on the name within the last second.
    #[must_use]
    pub fn is_on(&self, name: &LockName) -> bool {
        let until = self.lock();
        // Nothing is contended, as a rule; then not even the clock is asked.
        until.get(name).is_some_and(|until| self.clock.now() < *until)
    }

    /// Others were met on the name.
    pub fn met(&self, name: &LockName) {
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
