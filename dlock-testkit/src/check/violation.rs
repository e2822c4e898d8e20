//! What must not have happened, and did.

use std::fmt;

use dlock_core::Token;
use serde::Serialize;

use crate::history::{FaultInfo, History, Op};

/// Something that must not have happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// What.
    pub breach: Breach,
    /// When it began, in nanoseconds of the history's clock.
    pub at: u64,
    /// When it was over.
    pub until: u64,
    /// The name it happened on; `None` where it concerns no name in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The operations in it, the earlier first.
    pub ops: Vec<Culprit>,
    /// The faults that were under way from `at` to `until`.
    pub faults: Vec<FaultInfo>,
    /// The fault under which the lock does not promise otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excused_by: Option<FaultInfo>,
    /// What happened, for people.
    pub message: String,
    /// What was recorded around it, a line each, in milliseconds from `at`. Only for the first few
    /// of a kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<String>,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Two operations believed at the same time that they held one name.
    Overlap,
    /// A hold that began later has the lower token of one epoch.
    Inversion,
    /// Two operations were given one token.
    Duplicate,
    /// From one hold of a name to the next the tokens began anew: the store forgot what it had given.
    NewEpoch,
    /// A fenced register was written by somebody who had not seen the last write.
    LostUpdate,
    /// A fenced register admitted a token that it must refuse.
    StaleAccess,
    /// Two operations wrote a fenced register with one token.
    SharedToken,
    /// An operation or a release never ended, though its process lived on.
    Hung,
    /// Somebody waited, and nobody was served: for too long, or not after the faults; or a process
    /// was served no more, though others were.
    Starved,
    /// A holder that was not stopped was told of its loss long after the end of its validity.
    ToldLate,
    /// Something was left in the store.
    Leftover,
}

/// An operation in a violation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Culprit {
    /// The process that made it.
    pub process: String,
    /// Its number in that process.
    pub op: u64,
    /// Who.
    pub owner: String,
    /// Its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

impl Violation {
    pub(super) fn new(
        history: &History,
        breach: Breach,
        (at, until): (u64, u64),
        name: Option<&str>,
        ops: &[&Op],
        message: String,
    ) -> Self {
        let under_way = history.faults.iter().filter(|fault| fault.is_under_way(at, until));
        Self {
            breach,
            at,
            until,
            name: name.map(str::to_owned),
            ops: ops.iter().map(|op| Culprit::of(op)).collect(),
            faults: under_way.map(|fault| fault.info.clone()).collect(),
            excused_by: None,
            message,
            window: Vec::new(),
        }
    }
}

impl Breach {
    /// Whether a fence failed to keep a register right.
    #[must_use]
    pub fn is_of_the_fence(self) -> bool {
        matches!(self, Self::LostUpdate | Self::StaleAccess | Self::SharedToken)
    }

    /// Whether tokens are not in order, or not comparable.
    #[must_use]
    pub fn is_of_tokens(self) -> bool {
        matches!(self, Self::Inversion | Self::Duplicate | Self::NewEpoch)
    }

    /// Whether somebody waited in vain: to hold, for an answer, or to be told.
    #[must_use]
    pub fn is_of_liveness(self) -> bool {
        matches!(self, Self::Hung | Self::Starved | Self::ToldLate)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlap => "overlap",
            Self::Inversion => "token inversion",
            Self::Duplicate => "token given twice",
            Self::NewEpoch => "new epoch",
            Self::LostUpdate => "lost update",
            Self::StaleAccess => "stale access",
            Self::SharedToken => "token used twice",
            Self::Hung => "hung",
            Self::Starved => "starved",
            Self::ToldLate => "told late",
            Self::Leftover => "leftover",
        })
    }
}

impl Culprit {
    fn of(op: &Op) -> Self {
        Self {
            process: op.process.clone(),
            op: op.op,
            owner: op.owner.clone(),
            token: op.hold().and_then(|hold| hold.token),
        }
    }
}
