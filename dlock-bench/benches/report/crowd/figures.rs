use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::median;
use crate::stores::Gauges;

pub(super) const SECONDS: &str = "seconds";
pub(super) const CLIENT_BYTES: &str = "client bytes for each";
pub(super) const KEEPER_MILLIS: &str = "keeper's ms each second";
pub(super) const DRAIN_SECONDS: &str = "seconds to drain";
pub(super) const LARGEST_IN: &str = "bytes of the largest message to the server";
pub(super) const LARGEST_OUT: &str = "bytes of the largest message from the server";

/// What a process has measured: what, and how much of it.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub(super) fn set(&mut self, what: &str, value: f64) {
        self.0.insert(what.to_owned(), value);
    }

    /// How much more a server said than before, of all that it says.
    pub(super) fn set_growth(&mut self, during: &str, before: &Gauges, after: &Gauges) {
        for ((what, before), (_, after)) in before.iter().zip(after) {
            self.set(&growth(what, during), *after as f64 - *before as f64);
        }
    }

    pub(super) fn get(&self, what: &str) -> f64 {
        *self.0.get(what).unwrap_or_else(|| panic!("nobody measured {what:?}"))
    }

    pub(super) fn growth(&self, what: &str, during: &str) -> f64 {
        self.get(&growth(what, during))
    }

    /// Of an odd number of rounds that measured the same.
    pub(super) fn medians(rounds: &[Self]) -> Self {
        let whats = rounds[0].0.keys();
        Self(whats.map(|what| (what.clone(), median(rounds.iter().map(|round| round.get(what))))).collect())
    }

    pub(super) fn to_lines(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (what, value)| {
            writeln!(text, "{what}={value}").expect("a string takes what is written");
            text
        })
    }

    pub(super) fn from_lines(text: &str) -> Self {
        let figure = |line: &str| {
            let (what, value) = line.split_once('=')?;
            Some((what.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().map(|line| figure(line).expect("a figure in each line")).collect())
    }
}

fn growth(what: &str, during: &str) -> String {
    format!("{what} {during}")
}
