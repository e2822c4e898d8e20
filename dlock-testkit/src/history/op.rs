//! An operation: one attempt to hold a name, and what came of it.

use dlock_core::Token;

/// One attempt to hold a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The process that made it.
    pub process: String,
    /// Its number in that process.
    pub op: u64,
    /// Who.
    pub owner: String,
    /// What.
    pub name: String,
    /// When it began.
    pub invoked: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It held the name.
    Held(Hold),
    /// It did not get the name.
    Failed {
        /// When it was told.
        at: u64,
        /// Why.
        why: String,
    },
    /// It got an error that says nothing about its claim.
    Unknown {
        /// When it was told.
        at: u64,
        /// The error.
        why: String,
    },
    /// Its process was gone before it was told.
    Abandoned {
        /// When the process was gone.
        at: u64,
    },
    /// It was never told, though its process lived to the end of the history.
    Pending,
}

/// A hold, as its holder saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// When it was told that it holds.
    pub since: u64,
    /// The last moment at which it could believe that it held: its release began, its loss was
    /// signalled, its validity ended, or its process was gone. Not later than `since` where it
    /// never could.
    pub until: u64,
    /// When it knew of the end by itself: later than `until` where it stood still over the end of
    /// its validity.
    pub noticed: u64,
    /// Its token.
    pub token: Option<Token>,
    /// How the hold ended.
    pub end: End,
}

/// How a hold ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It was released; with the error, if the release was answered by one.
    Released {
        /// When the answer came; `None` if it never did.
        answered: Option<u64>,
        /// The error in the answer.
        error: Option<String>,
    },
    /// It was lost, and why.
    Lost(String),
    /// Its process was gone.
    Abandoned,
    /// It was held to the end of the history.
    Open,
}

impl Op {
    /// Its hold, if it held the name.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        match &self.outcome {
            Outcome::Held(hold) => Some(hold),
            _ => None,
        }
    }

    /// When it stopped waiting; `None` if it waited to the end of the history.
    #[must_use]
    pub fn answered(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Held(hold) => Some(hold.since),
            Outcome::Failed { at, .. } | Outcome::Unknown { at, .. } | Outcome::Abandoned { at } => Some(*at),
            Outcome::Pending => None,
        }
    }
}

impl Hold {
    /// Whether its holder could believe for any time at all that it held.
    #[must_use]
    pub fn was_believed(&self) -> bool {
        self.since < self.until
    }
}
