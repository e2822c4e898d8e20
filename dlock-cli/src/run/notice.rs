//! Telling a user who waits what for.

use std::convert::Infallible;
use std::future;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime};

use dlock::{ClaimInfo, LockName, LockState, Locks, Metadata};
use rustix::termios::tcgetwinsize;
use tokio::time::sleep;

use crate::text::{age, printable, say, who};

/// A shorter wait is not worth a word.
const FIRST: Duration = Duration::from_millis(300);
/// How often a terminal's line is brought up to date.
const REFRESH: Duration = Duration::from_secs(1);

/// Says what is waited for until it is dropped: on a terminal in a line that is kept up to date
/// and then erased, elsewhere once.
pub(crate) async fn keep_telling(locks: &Locks, name: &LockName) -> Infallible {
    sleep(FIRST).await;
    let own = Metadata::of_this_process("");
    if !io::stderr().is_terminal() {
        say(waiting(locks, name, &own).await);
        return future::pending().await;
    }
    let line = StatusLine;
    loop {
        line.show(&format!("dlock: {}", waiting(locks, name, &own).await));
        sleep(REFRESH).await;
    }
}

/// Why the name is not to be had now, as a sentence.
pub(crate) async fn obstacle(locks: &Locks, name: &LockName) -> String {
    match locks.inspect(name).await {
        Ok(state) => in_the_way(&state, SystemTime::now()),
        // It was held; the code for that stands, and whoever reads this learns what to look after.
        Err(error) => format!("it was held, and now {error}"),
    }
}

fn in_the_way(state: &LockState, now: SystemTime) -> String {
    match (state.holders.first(), state.waiters.first()) {
        (Some(_), _) => format!("it is {}", held_by(state, now)),
        // Who is stopped, or has no connection, holds up those behind without holding the lock.
        (None, Some(next)) => format!("nobody holds it, but it is the turn of {}", who(&next.metadata)),
        (None, None) => "it was held until a moment ago".to_owned(),
    }
}

async fn waiting(locks: &Locks, name: &LockName, own: &Metadata) -> String {
    let state = match locks.inspect(name).await {
        Ok(state) => state,
        Err(error) => return format!("waiting for {name}, but {error}"),
    };
    let held_by = held_by(&state, SystemTime::now());
    let outer = std::env::var("DLOCK_OWNER").unwrap_or_default();
    format!("waiting for {name}, {held_by}{}{}", behind(&state, own), itself(&state, &outer))
}

fn held_by(state: &LockState, now: SystemTime) -> String {
    let Some(first) = state.holders.first() else {
        return if state.waiters.is_empty() { "free a moment ago".into() } else { "which others wait for".into() };
    };
    let others = match state.holders.len() {
        1 => String::new(),
        2 => " and one other".to_owned(),
        count => format!(" and {} others", count - 1),
    };
    format!("held by {} for {}{others}", who(&first.metadata), age(&first.metadata, now))
}

/// The place in the line, when somebody stands before.
fn behind(state: &LockState, own: &Metadata) -> String {
    let is_own = |claim: &ClaimInfo| (&claim.metadata.host, claim.metadata.process) == (&own.host, own.process);
    match state.waiters.iter().position(is_own) {
        None | Some(0) => String::new(),
        Some(1) => format!("; next is {}", who(&state.waiters[0].metadata)),
        Some(before) => format!("; {before} are before, the last {}", who(&state.waiters[before - 1].metadata)),
    }
}

/// A warning, when the lock is held by the very job that this runs in.
fn itself(state: &LockState, outer: &str) -> &'static str {
    let is_outer = state.holders.iter().any(|holder| holder.claim.id.to_string() == outer);
    if is_outer { "; that is the job which this is a part of" } else { "" }
}

/// One line of the terminal, erased when it is dropped.
struct StatusLine;

impl StatusLine {
    fn show(&self, text: &str) {
        let width = match tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => 80,
        };
        // A line that wraps could not be erased.
        let shown: String = printable(text).chars().take(width - 1).collect();
        let _ = write!(io::stderr(), "\r\x1b[K{shown}");
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(label: &str, process: u32) -> ClaimInfo {
        let metadata = Metadata { label: label.into(), host: "web1".into(), process, since_unix_ms: 60_000 };
        ClaimInfo {
            claim: dlock::ClaimRef {
                id: dlock::ClaimId::random(),
                name: "n".parse().unwrap(),
                mode: dlock::Mode::Exclusive,
                ttl: Duration::from_secs(30),
            },
            metadata,
            token: None,
            expires_in: None,
        }
    }

    #[test]
    fn the_line_says_who_and_for_how_long() {
        let mut state = LockState::free("n".parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(75);
        assert_eq!(held_by(&state, now), "free a moment ago");
        state.holders = vec![claim("nightly", 7)];
        assert_eq!(held_by(&state, now), "held by nightly (web1, process 7) for 15s");
        state.holders.push(claim("", 8));
        assert_eq!(held_by(&state, now), "held by nightly (web1, process 7) for 15s and one other");
    }

    #[test]
    fn who_gives_up_is_told_what_was_in_the_way() {
        let mut state = LockState::free("n".parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(75);
        assert_eq!(in_the_way(&state, now), "it was held until a moment ago");
        state.waiters = vec![claim("stopped", 8)];
        assert_eq!(in_the_way(&state, now), "nobody holds it, but it is the turn of stopped (web1, process 8)");
        state.holders = vec![claim("nightly", 7)];
        assert_eq!(in_the_way(&state, now), "it is held by nightly (web1, process 7) for 15s");
    }

    #[test]
    fn the_line_warns_of_waiting_for_oneself() {
        let mut state = LockState::free("n".parse().unwrap());
        state.holders = vec![claim("a", 1), claim("b", 2)];
        let outer = state.holders[1].claim.id.to_string();
        assert_eq!(itself(&state, &outer), "; that is the job which this is a part of");
        assert_eq!(itself(&state, ""), "");
    }

    #[test]
    fn the_line_says_who_is_before() {
        let own = Metadata { host: "web1".into(), process: 9, ..Metadata::default() };
        let mut state = LockState::free("n".parse().unwrap());
        state.waiters = vec![claim("me", 9)];
        assert_eq!(behind(&state, &own), "");
        state.waiters.insert(0, claim("a", 1));
        assert_eq!(behind(&state, &own), "; next is a (web1, process 1)");
        state.waiters.insert(1, claim("", 2));
        assert_eq!(behind(&state, &own), "; 2 are before, the last web1, process 2");
    }
}
