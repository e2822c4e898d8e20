//! Defects in how names are told apart.

use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{Claim, ClaimRef, LockBackend, LockName, Mode, Queue, Requested, Result, Why, Withdrawn};

use super::collision::KeyedBy;
use super::locked;
use crate::Flaw;

/// Case is ignored.
#[must_use]
pub fn case_ignored() -> KeyedBy {
    KeyedBy(|name| stored(name, name.as_str().to_lowercase()))
}

/// What follows the 255th byte is cut off, as the longest name of a file is.
#[must_use]
pub fn cut_at_255_bytes() -> KeyedBy {
    KeyedBy(|name| {
        let ends = name.as_str().char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(|end| *end <= 255).last().unwrap_or(0);
        stored(name, name.as_str()[..end].trim_end_matches('/').to_owned())
    })
}

/// Everything but ASCII letters, digits and slashes becomes an underscore.
#[must_use]
pub fn odd_characters_replaced() -> KeyedBy {
    KeyedBy(|name| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '/' { c } else { '_' };
        stored(name, name.as_str().chars().map(plain).collect())
    })
}

/// Only the part before the first slash counts.
#[must_use]
pub fn hierarchy_ignored() -> KeyedBy {
    KeyedBy(|name| stored(name, name.as_str().split('/').next().unwrap_or_default().to_owned()))
}

/// Which way a name is used is not looked at: everything is exclusive.
#[derive(Clone, Copy, Debug)]
pub struct ModeIgnored;

#[async_trait]
impl Flaw for ModeIgnored {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(&Claim { mode: Mode::Exclusive, ..claim.clone() }, queue).await
    }
}

/// One namespace for all: a name that anybody uses is in use for everybody.
#[derive(Debug, Default)]
pub struct NamespacesShared {
    taken: Mutex<Vec<ClaimRef>>,
}

#[async_trait]
impl Flaw for NamespacesShared {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        {
            let mut taken = locked(&self.taken);
            let same = |name: &LockName| taken.iter().any(|other| other.name == *name && other.id != claim.id);
            if same(&claim.name) {
                return Ok(Requested::Refused);
            }
            taken.push(claim.to_ref());
        }
        inner.request(claim, queue).await
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        locked(&self.taken).retain(|other| other.id != claim.id);
        inner.withdraw(claim, why).await
    }
}

fn stored(name: &LockName, as_text: String) -> LockName {
    as_text.parse().unwrap_or_else(|_| name.clone())
}
