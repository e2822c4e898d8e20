//! What came of a case.

use std::fmt;
use std::time::Duration;

use crate::{Case, Need};

/// A case, and what came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// What can come of a case.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The backend showed what it was to show.
    Passed,
    /// It did not.
    Failed(Failure),
    /// The case needs what the backend or its subject does not offer, and was not tried.
    NotOffered(Need),
    /// The run was stopped before the case was done.
    NotRun,
}

/// Why a case failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it panicked with.
    pub message: String,
    /// Where: file, line and column. `None` where that was printed when it happened.
    pub place: Option<String>,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, "\nat {place}"),
            None => Ok(()),
        }
    }
}
