//! Claims made without a keeper, for scenarios about the contract itself.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{
    Claim, ClaimId, ClaimRef, Grant, LockBackend, LockName, Metadata, Mode, Queue, Renewal, Requested, Why, Withdrawn,
};

use crate::Lab;

/// A backend driven by hand: nothing is renewed but what a case renews.
pub(super) struct ByHand<'a> {
    lab: &'a Lab,
    backend: Arc<dyn LockBackend>,
}

/// A new exclusive claim on `name`, which expires soon.
pub(super) fn claim(lab: &Lab, name: &str) -> Claim {
    Claim { ttl: lab.ttl(), ..lasting_claim(lab, name) }
}

/// A new exclusive claim on `name`, which outlives the case.
pub(super) fn lasting_claim(lab: &Lab, name: &str) -> Claim {
    Claim {
        id: ClaimId::random(),
        name: name.parse().expect("it is valid"),
        mode: Mode::Exclusive,
        ttl: lab.long_ttl(),
        metadata: Metadata::of_this_process("by hand"),
    }
}

impl<'a> ByHand<'a> {
    pub(super) async fn client(lab: &'a Lab) -> Self {
        Self { lab, backend: lab.backend().await }
    }

    /// Closes the client: nothing of it stays at the service.
    pub(super) async fn close(self) {
        self.backend.close().await.expect("a client can be closed");
    }

    /// Registers the claim, and keeps it alive until it is held.
    pub(super) async fn hold(&self, claim: &Claim) -> Grant {
        if let Requested::Held(grant, _) = self.backend.request(claim, Queue::Yes).await.expect("it is registered") {
            return grant;
        }
        let granted = async {
            loop {
                if let Some(grant) = self.keep(claim).await {
                    return grant;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        self.lab.soon("the claim is held", granted).await
    }

    /// Renews the claim, which must be alive, and answers its grant.
    pub(super) async fn keep(&self, claim: &Claim) -> Option<Grant> {
        match self.renew(claim).await {
            Renewal::Alive { grant, .. } => grant,
            Renewal::Gone(gone) => panic!("a claim that was kept alive is gone: {gone:?}"),
        }
    }

    /// Renews the claim.
    pub(super) async fn renew(&self, claim: &Claim) -> Renewal {
        let mut answers = self.backend.renew(&[claim.to_ref()]).await;
        assert_eq!(answers.len(), 1, "one answer per claim");
        answers.remove(0).expect("the service answers")
    }

    /// Releases the claim, which must be there.
    pub(super) async fn release(&self, claim: &Claim) {
        assert_eq!(self.withdraw(claim, Why::Release).await, Withdrawn::Removed, "the claim was there");
    }

    /// Releases the claim, which must not be there.
    pub(super) async fn release_again(&self, claim: &Claim) {
        assert_eq!(self.withdraw(claim, Why::Release).await, Withdrawn::Absent, "there was no such claim");
    }

    pub(super) async fn withdraw(&self, claim: &Claim, why: Why) -> Withdrawn {
        self.withdraw_ref(&claim.to_ref(), why).await
    }

    pub(super) async fn withdraw_ref(&self, claim: &ClaimRef, why: Why) -> Withdrawn {
        self.backend.withdraw(claim, why).await.expect("the service answers")
    }

    /// Who holds `name`.
    pub(super) async fn holder(&self, name: &str) -> Option<ClaimId> {
        let name: LockName = name.parse().expect("it is valid");
        let state = self.backend.inspect(&name).await.expect("a name can be inspected");
        state.holders.first().map(|holder| holder.claim.id)
    }
}
