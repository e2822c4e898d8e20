//! Defects in how names become the service's keys.

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimRef, LockBackend, LockName, LockState, Queue, Renewal, Requested, Result, Why, Withdrawn,
};

use crate::Flaw;

/// Names are stored under keys that are wrong.
#[derive(Clone, Copy, Debug)]
pub struct KeyedBy(pub(super) fn(&LockName) -> LockName);

/// All names share one key.
#[must_use]
pub fn one_key_for_all() -> KeyedBy {
    KeyedBy(|_| name("all"))
}

/// The keys of each process are its own.
#[must_use]
pub fn a_key_for_each_process() -> KeyedBy {
    KeyedBy(|of| name(&format!("{of}.{}", std::process::id())))
}

impl KeyedBy {
    fn claim(&self, claim: &ClaimRef) -> ClaimRef {
        ClaimRef { name: (self.0)(&claim.name), ..claim.clone() }
    }
}

#[async_trait]
impl Flaw for KeyedBy {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(&Claim { name: (self.0)(&claim.name), ..claim.clone() }, queue).await
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let stored: Vec<ClaimRef> = claims.iter().map(|claim| self.claim(claim)).collect();
        inner.renew(&stored).await
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        inner.withdraw(&self.claim(claim), why).await
    }

    async fn inspect(&self, inner: &dyn LockBackend, name: &LockName) -> Result<LockState> {
        inner.inspect(&(self.0)(name)).await
    }
}

fn name(text: &str) -> LockName {
    text.parse().expect("it is short and plain")
}
