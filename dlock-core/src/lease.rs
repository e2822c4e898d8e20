//! Held claims: the plain data, and the cell that guards and keeper share.

mod cell;

use std::fmt;

pub(crate) use self::cell::Cell;
use crate::{ClaimId, Gone, Instant, LockName, Mode, Token};

/// A held claim as plain data, as of the moment it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The claim that holds.
    pub claim: ClaimId,
    /// What it holds.
    pub name: LockName,
    /// How it holds it.
    pub mode: Mode,
    /// Its fencing token.
    pub token: Token,
    /// Until when it may be believed without another renewal; `None` for a claim that lives as
    /// long as its process.
    pub valid_until: Option<Instant>,
}

/// How sure a holder can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseState {
    /// Held, and the last renewal was answered.
    Held,
    /// Held, but renewal is failing; it becomes [`LeaseState::Lost`] unless one gets through.
    Doubtful,
    /// Lost for good.
    Lost(Loss),
}

/// Why a lease was lost.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// No renewal was answered before the local deadline.
    Deadline,
    /// The service has no such claim any more: it expired there, was deleted, or was broken.
    Gone,
    /// The session that the claim lived on ended.
    Session,
    /// The claim's entry was changed by somebody else.
    Altered,
    /// The client was closed while the guard lived.
    Closed,
    /// It was held for the maximum hold time.
    MaxHold,
    /// The keeper that renewed it has stopped unexpectedly.
    Keeper,
}

impl From<Gone> for Loss {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Absent => Self::Gone,
            Gone::Session => Self::Session,
            Gone::Altered => Self::Altered,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "no renewal was answered in time",
            Self::Gone => "the service no longer has the claim",
            Self::Session => "its session ended",
            Self::Altered => "its entry was changed by somebody else",
            Self::Closed => "the client was closed",
            Self::MaxHold => "it reached the maximum hold time",
            Self::Keeper => "the keeper thread stopped",
        })
    }
}
