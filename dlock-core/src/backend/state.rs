//! What `inspect` and `list` report.

use std::time::Duration;

use crate::{ClaimRef, LockName, Metadata, Token};

/// Who holds a name and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockState {
    /// The name.
    pub name: LockName,
    /// Who holds it, in arrival order.
    pub holders: Vec<ClaimInfo>,
    /// Who waits, in arrival order.
    pub waiters: Vec<ClaimInfo>,
    /// What stands under the name and cannot be parsed. It blocks the name.
    pub damaged: Vec<DamagedEntry>,
}

/// One claim, as the service shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimInfo {
    /// The claim itself; `break` names it.
    pub claim: ClaimRef,
    /// Who made it.
    pub metadata: Metadata,
    /// Its token, if it holds.
    pub token: Option<Token>,
    /// After what time the service would drop it if nobody renewed it, where the service tells.
    pub expires_in: Option<Duration>,
}

/// Something under a name that is not a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedEntry {
    /// Where it stands: the adapter's key or file name.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// What the adapter needs to recognise this very entry again (a version, a checksum).
    pub fingerprint: String,
}

/// Which part of a listing is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<String>,
    /// At most about this many names.
    pub limit: usize,
}

/// One part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePage {
    /// The names, in no particular order.
    pub names: Vec<LockName>,
    /// Where to go on; `None` when this was the last part.
    pub cursor: Option<String>,
}

impl LockState {
    /// A name that nobody claims.
    #[must_use]
    pub fn free(name: LockName) -> Self {
        Self { name, holders: Vec::new(), waiters: Vec::new(), damaged: Vec::new() }
    }

    /// Whether nothing at all stands under the name.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.holders.is_empty() && self.waiters.is_empty() && self.damaged.is_empty()
    }
}

impl Page {
    /// The first page.
    #[must_use]
    pub fn first() -> Self {
        Self { cursor: None, limit: 1000 }
    }
}
