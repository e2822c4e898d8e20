//! Waiting for something to become true.

use std::thread;
use std::time::{Duration, Instant};

/// How long it may take, on a very busy machine, until servers agree.
const BOUND: Duration = Duration::from_secs(60);

/// What `look` finds, which is repeated until it finds something.
///
/// # Panics
/// With what is missing, when that takes longer than a minute.
pub(crate) fn until<T>(look: impl FnMut() -> Result<T, String>) -> T {
    within(BOUND, look).unwrap_or_else(|missing| panic!("{missing}, for {BOUND:?}"))
}

/// As [`until`], but for so long only; then it answers what is missing.
pub(crate) fn within<T>(bound: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let deadline = Instant::now() + bound;
    loop {
        let found = look();
        if found.is_ok() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
