//! Waiting for something to become true.

use std::thread;
use std::time::{Duration, Instant};

/// How long it may take, on a very busy machine, until servers agree.
const BOUND: Duration = Duration::from_secs(60);

/// What `look` finds, which is repeated until it finds something.
///
/// # Panics
/// With what is missing, when that takes longer than a minute.
pub(crate) fn until<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        match look() {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < deadline, "{missing}, for {BOUND:?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
