//! Text for people.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use dlock::Metadata;

/// Says something on the standard error, in one line.
pub(crate) fn say(message: impl fmt::Display) {
    // When the standard error is closed, there is nobody to tell.
    let _ = writeln!(io::stderr(), "dlock: {message}");
}

/// Who made a claim.
pub(crate) fn who(metadata: &Metadata) -> String {
    let label = printable(&metadata.label);
    let place = format!("{}, process {}", printable(&metadata.host), metadata.process);
    if label.is_empty() { place } else { format!("{label} ({place})") }
}

/// How long ago a claim was made, by the wall clocks of two hosts.
pub(crate) fn age(metadata: &Metadata, now: SystemTime) -> String {
    span(now.duration_since(metadata.since()).unwrap_or_default())
}

/// A duration in its two largest units, without parts of a second.
pub(crate) fn span(time: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What others chose to call themselves, without what would steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (192, "3m 12s"), (7_323, "2h 2m"), (90_061, "1day 1h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn labels_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
