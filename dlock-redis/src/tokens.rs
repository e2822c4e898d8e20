//! What this client knows of the namespace's tokens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlock_core::{ClaimId, Token};

use crate::entry::{epoch_from_text, epoch_to_text};
use crate::keys::Bucket;

/// The highest token seen of each bucket: every later one of the same epoch must be above it, or
/// else the server has lost its history.
///
/// A bucket is *lifted* on each new connection before it is used: its counter is raised to the
/// server's time, so that it goes on growing whatever the server has forgotten.
#[derive(Debug)]
pub(crate) struct Tokens {
    buckets: Vec<Mutex<Known>>,
    /// Counts the connections that were made.
    round: AtomicU64,
    spare: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    highest: Option<Token>,
    /// In which round the bucket was lifted last.
    lifted_in: Option<u64>,
}

impl Tokens {
    pub(crate) fn new(buckets: usize) -> Self {
        let random = epoch_from_text(&ClaimId::random().to_string()[..16]);
        Self {
            buckets: std::iter::repeat_with(Mutex::default).take(buckets).collect(),
            round: AtomicU64::new(0),
            spare: AtomicU64::new(random.expect("a claim id is hexadecimal")),
        }
    }

    pub(crate) fn highest(&self, bucket: Bucket) -> Option<Token> {
        self.known(bucket).highest
    }

    /// A connection was made: every bucket is to be lifted before it is used.
    pub(crate) fn begin_round(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }

    /// The round to name in [`Tokens::adopt`], read before the request is sent.
    pub(crate) fn round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    /// The highest token of a bucket that was lifted since the last connection was made.
    pub(crate) fn lifted(&self, bucket: Bucket) -> Option<Token> {
        let known = self.known(bucket);
        known.highest.filter(|_| known.lifted_in == Some(self.round()))
    }

    /// The server has another history than is known here: the bucket is to be lifted before it is used.
    pub(crate) fn doubt(&self, bucket: Bucket) {
        self.known(bucket).lifted_in = None;
    }

    /// An epoch for a server that has none, as the scripts want it: never the same twice.
    pub(crate) fn spare_epoch(&self) -> String {
        epoch_to_text(self.spare.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes note of a token that was just minted. `before` is what was known when the request
    /// was sent; false when the token does not continue that history.
    pub(crate) fn accept(&self, bucket: Bucket, before: Token, minted: Token) -> bool {
        let continues = minted > before;
        if continues {
            let mut known = self.known(bucket);
            if known.highest.is_some_and(|highest| highest < minted) {
                known.highest = Some(minted);
            }
        }
        continues
    }

    /// Starts on what the server now says is its history. Answers whether that is another one.
    pub(crate) fn adopt(&self, bucket: Bucket, lifted: Token, round: u64) -> bool {
        let mut known = self.known(bucket);
        let is_other = known.highest.is_some_and(|highest| highest.epoch != lifted.epoch);
        if is_other || known.highest.is_none_or(|highest| highest.value < lifted.value) {
            known.highest = Some(lifted);
        }
        known.lifted_in = Some(round);
        is_other
    }

    fn known(&self, bucket: Bucket) -> MutexGuard<'_, Known> {
        self.buckets[bucket.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket = Bucket::FIRST;

    fn token(epoch: u64, value: u64) -> Token {
        Token { epoch, value }
    }

    #[test]
    fn only_a_token_that_continues_the_history_is_accepted() {
        let tokens = Tokens::new(1);
        assert_eq!(tokens.lifted(BUCKET), None, "nothing is known before the first lift");
        assert!(!tokens.adopt(BUCKET, token(1, 100), tokens.round()));
        let before = tokens.lifted(BUCKET).unwrap();
        assert!(tokens.accept(BUCKET, before, token(1, 102)));
        assert!(tokens.accept(BUCKET, before, token(1, 101)), "two answers may be looked at in the other order");
        assert_eq!(tokens.highest(BUCKET), Some(token(1, 102)));
        assert!(!tokens.accept(BUCKET, token(1, 102), token(1, 102)));
        assert!(!tokens.accept(BUCKET, token(1, 102), token(2, 500)), "another epoch");
        assert!(tokens.adopt(BUCKET, token(2, 50), tokens.round()));
        assert!(tokens.accept(BUCKET, token(2, 50), token(2, 51)));
    }

    #[test]
    fn a_new_connection_has_every_bucket_lifted_again() {
        let tokens = Tokens::new(2);
        let round = tokens.round();
        tokens.adopt(BUCKET, token(1, 100), round);
        assert_eq!(tokens.lifted(BUCKET), Some(token(1, 100)));
        tokens.begin_round();
        assert_eq!(tokens.lifted(BUCKET), None);
        assert_eq!(tokens.highest(BUCKET), Some(token(1, 100)), "what was seen stays seen");
        tokens.adopt(BUCKET, token(1, 101), round);
        assert_eq!(tokens.lifted(BUCKET), None, "that lift was sent on the connection before");
        tokens.adopt(BUCKET, token(1, 102), tokens.round());
        assert_eq!(tokens.lifted(BUCKET), Some(token(1, 102)));
    }

    #[test]
    fn spare_epochs_differ() {
        let tokens = Tokens::new(1);
        let spare = tokens.spare_epoch();
        assert_eq!(spare.len(), 16);
        assert_ne!(spare, tokens.spare_epoch());
        assert_ne!(spare, Tokens::new(1).spare_epoch());
    }
}
