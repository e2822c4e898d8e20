use std::time::Duration;

use dlock::{Guard, Lock, Locks};
use rustix::process::Signal;

use super::notice;
use super::signals::Signals;
use crate::args::Patience;
use crate::exit::Failure;
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
    let (None, Patience::For(time)) = (&got, patience) else {
        return got.map(Acquired::Held).ok_or_else(|| unreachable!("an endless wait ends with the lock"));
    };
    let holders = notice::holders(locks, lock.name()).await;
    let time = if time < Duration::from_secs(1) { format!("{time:?}") } else { span(time) };
    let waited = if patience == Patience::For(Duration::ZERO) { String::new() } else { format!(" after {time}") };
    Ok(Acquired::TimeUp(format!("gave up on {}{waited}: it is {holders}", lock.name())))
}

async fn wait(lock: &Lock, patience: Patience) -> dlock::Result<Option<Guard>> {
    match patience {
        Patience::Endless => lock.acquire().await.map(Some),
        Patience::For(time) => lock.acquire_within(time).await,
    }
}
