use std::time::Duration;

use dlock::{Guard, Lock, Locks};
use rustix::process::Signal;

use super::notice;
use crate::args::Patience;
use crate::exit::Failure;
use crate::signals::Signals;
use crate::text::span;

/// How a wait for the lock ended. Only in the first case anything is left of it on the service.
pub(crate) enum Acquired {
    Held(Guard),
    /// Others hold it: who, as a message.
    TimeUp(String),
    Interrupted(Signal),
}

/// Waits for the lock, and tells the user for whom.
pub(crate) async fn acquire(
    locks: &Locks,
    lock: &Lock,
    patience: Patience,
    signals: &mut Signals,
) -> Result<Acquired, Failure> {
    let got = tokio::select! {
        got = wait(lock, patience) => got?,
        signal = signals.next() => return Ok(Acquired::Interrupted(signal)),
        never = notice::keep_telling(locks, lock.name()) => match never {},
    };
    match (got, patience) {
        (Some(guard), _) => Ok(Acquired::Held(guard)),
        (None, Patience::Endless) => unreachable!("an endless wait ends with the lock"),
        (None, Patience::For(time)) => Ok(Acquired::TimeUp(gave_up(locks, lock, time).await)),
    }
}

async fn gave_up(locks: &Locks, lock: &Lock, time: Duration) -> String {
    let after = match time {
        Duration::ZERO => String::new(),
        time if time < Duration::from_secs(1) => format!(" after {time:?}"),
        time => format!(" after {}", span(time)),
    };
    format!("gave up on {}{after}: {}", lock.name(), notice::obstacle(locks, lock.name()).await)
}

async fn wait(lock: &Lock, patience: Patience) -> dlock::Result<Option<Guard>> {
    match patience {
        Patience::Endless => lock.acquire().await.map(Some),
        Patience::For(time) => lock.acquire_within(time).await,
    }
}
