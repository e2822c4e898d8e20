//! Fencing tokens and the fence that checks them.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// A number that grows with every claim that comes to hold a name.
///
/// Hand it to the resource with every write; a resource that refuses lower tokens (see [`Fence`])
/// is safe from a holder that was stopped and does not know yet that its lease is gone.
/// Tokens of different epochs do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Which history of the store the value belongs to. It changes when the store lost or rewound
    /// its history: after a restore from backup, a flush, a recreated group.
    pub epoch: u64,
    /// Strictly increasing per name within one epoch.
    pub value: u64,
}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.epoch == other.epoch).then(|| self.value.cmp(&other.value))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)
    }
}

/// How far a backend's tokens can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenGuarantee {
    /// Minted by a consensus log or its equal: a stale holder is never given a higher token than
    /// its successor, under any timing.
    Consensus,
    /// As good as the store's durability: a failover or a flush may be missed.
    BestEffort,
}

/// The resource's side of fencing: remembers the highest token and refuses lower ones.
///
/// Keep it (or its two numbers) with the resource, updated in the same transaction as the write
/// it guards.
///
/// ```
/// # use dlock_core::{Fence, Token};
/// let mut fence = Fence::default();
/// fence.check(Token { epoch: 1, value: 33 })?;
/// fence.check(Token { epoch: 1, value: 34 })?;
/// assert!(fence.check(Token { epoch: 1, value: 33 }).is_err(), "a stale holder is refused");
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence(Option<Token>);

impl Fence {
    /// A fence that has seen `highest` already, as read back from storage.
    #[must_use]
    pub fn from_highest(highest: Token) -> Self {
        Self(Some(highest))
    }

    /// The highest token seen.
    #[must_use]
    pub fn highest(&self) -> Option<Token> {
        self.0
    }

    /// Admits a write made under `token`.
    ///
    /// # Errors
    /// `Lost` for a token lower than one seen before, and for a token of another epoch: the store
    /// lost its history, and an operator must look and then [`Fence::accept_epoch`].
    pub fn check(&mut self, token: Token) -> Result<()> {
        let Some(highest) = self.0 else {
            self.0 = Some(token);
            return Ok(());
        };
        match token.partial_cmp(&highest) {
            Some(Ordering::Less) => Err(Error::new(
                ErrorKind::Lost,
                format!("token {token} is stale: the resource has seen {highest}; stop this writer"),
            )),
            Some(_) => {
                self.0 = Some(token);
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Lost,
                format!(
                    "token {token} is of epoch {:x}, the resource is at epoch {:x}: the lock service lost its \
                     history; make sure that no old holder is left, then accept the new epoch",
                    token.epoch, highest.epoch
                ),
            )),
        }
    }

    /// Starts over in a new epoch, after an operator made sure that no holder of the old one is left.
    pub fn accept_epoch(&mut self, epoch: u64) {
        if self.0.is_none_or(|highest| highest.epoch != epoch) {
            self.0 = Some(Token { epoch, value: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(epoch: u64, value: u64) -> Token {
        Token { epoch, value }
    }

    #[test]
    fn a_new_epoch_is_refused_until_it_is_accepted() {
        let mut fence = Fence::from_highest(token(1, 900));
        assert!(fence.check(token(2, 1)).unwrap_err().to_string().contains("lost its history"));
        fence.accept_epoch(2);
        fence.check(token(2, 1)).unwrap();
        assert!(fence.check(token(1, 901)).is_err(), "the old epoch is over");
    }

    #[test]
    fn accepting_the_present_epoch_forgets_nothing() {
        let mut fence = Fence::from_highest(token(1, 900));
        fence.accept_epoch(1);
        assert!(fence.check(token(1, 899)).is_err());
    }
}
