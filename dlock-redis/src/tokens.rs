//! What this client knows of the namespace's tokens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dlock_core::{ClaimId, Token};

use crate::entry::{epoch_from_text, epoch_to_text};

/// The highest token seen: every later one of the same epoch must be above it, or else the server
/// has lost its history.
#[derive(Debug)]
pub(crate) struct Tokens {
    highest: Mutex<Option<Token>>,
    spare: AtomicU64,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        let random = epoch_from_text(&ClaimId::random().to_string()[..16]);
        Self { highest: Mutex::new(None), spare: AtomicU64::new(random.expect("a claim id is hexadecimal")) }
    }

    pub(crate) fn highest(&self) -> Option<Token> {
        *self.highest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An epoch for a server that has none, as the scripts want it: never the same twice.
    pub(crate) fn spare_epoch(&self) -> String {
        epoch_to_text(self.spare.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes note of a token that was just minted. `before` is what was known when the request
    /// was sent; false when the token does not continue that history.
    pub(crate) fn accept(&self, before: Option<Token>, minted: Token) -> bool {
        let continues = before.is_some_and(|before| minted > before);
        if continues {
            self.raise(minted);
        }
        continues
    }

    /// Starts on what the server now says is its history.
    pub(crate) fn adopt(&self, lifted: Token) {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if highest.is_none_or(|known| known.epoch != lifted.epoch || known.value < lifted.value) {
            *highest = Some(lifted);
        }
    }

    fn raise(&self, minted: Token) {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if highest.is_some_and(|known| known < minted) {
            *highest = Some(minted);
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
    fn only_a_token_that_continues_the_history_is_accepted() {
        let tokens = Tokens::new();
        assert!(!tokens.accept(tokens.highest(), token(1, 5)), "nothing is known before the first lift");
        tokens.adopt(token(1, 100));
        let before = tokens.highest();
        assert!(tokens.accept(before, token(1, 102)));
        assert!(tokens.accept(before, token(1, 101)), "two answers may be looked at in the other order");
        assert_eq!(tokens.highest(), Some(token(1, 102)));
        assert!(!tokens.accept(tokens.highest(), token(1, 102)));
        assert!(!tokens.accept(tokens.highest(), token(2, 500)), "another epoch");
        tokens.adopt(token(2, 50));
        assert!(tokens.accept(tokens.highest(), token(2, 51)));
    }

    #[test]
    fn spare_epochs_differ() {
        let tokens = Tokens::new();
        let spare = tokens.spare_epoch();
        assert_eq!(spare.len(), 16);
        assert_ne!(spare, tokens.spare_epoch());
        assert_ne!(spare, Tokens::new().spare_epoch());
    }
}
