//! Waiting for servers.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long servers may take to agree, or to obey, on a machine so busy that they take each other for
/// dead again and again.
const PATIENCE: Duration = Duration::from_secs(180);

/// What `look` finds, which is repeated until it finds something.
///
/// # Panics
/// With what is missing, when that takes longer than [`PATIENCE`].
pub(super) async fn until<T, E: fmt::Display, F: Future<Output = Result<T, E>>>(mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(missing) if Instant::now() > deadline => panic!("{missing}, for {PATIENCE:?}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
