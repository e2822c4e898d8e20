use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Error, ErrorKind, Landed, LockBackend, Queue, Renewal, Requested, Result, Why, Withdrawn,
};

use crate::Flaw;
use crate::broken::locked;

/// A request that takes long counts as failed, and its claim, which is looked for once and not found,
/// as gone. But the request may still land; and then the claim lives on by what keeps the others alive.
#[derive(Debug, Default)]
pub struct AbsentIsFinal {
    unanswered: Mutex<HashSet<ClaimId>>,
    forgotten: Mutex<HashMap<ClaimId, ClaimRef>>,
}

#[async_trait]
impl Flaw for AbsentIsFinal {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let patience = claim.ttl / 4;
        let answer = tokio::time::timeout(patience, inner.request(claim, queue)).await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Unavailable, format!("no answer within {patience:?}"));
            Err(error.with_landed(Landed::Maybe))
        });
        let mut unanswered = locked(&self.unanswered);
        match &answer {
            Err(error) if error.landed() == Landed::Maybe => unanswered.insert(claim.id),
            Err(_) => false,
            Ok(_) => unanswered.remove(&claim.id),
        };
        answer
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        // All that lives on the session.
        let forgotten: Vec<ClaimRef> = locked(&self.forgotten).values().cloned().collect();
        let all = [claims, &forgotten].concat();
        let mut answers = inner.renew(&all).await;
        answers.truncate(claims.len());
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if locked(&self.unanswered).remove(&claim.id) {
            locked(&self.forgotten).insert(claim.id, claim.clone());
            return Ok(Withdrawn::Absent);
        }
        inner.withdraw(claim, why).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dlock_core::Clock;
    use dlock_core::memory::Memory;

    use super::*;
    use crate::Faults;
    use crate::broken::planted::scene::{claim, client, faulty, holds};

    #[tokio::test]
    async fn a_claim_whose_request_was_not_answered_outlives_its_withdrawal_and_its_ttl() {
        const TTL: Duration = Duration::from_millis(500);
        let flaw = AbsentIsFinal::default();
        let (store, faults) = (Memory::new(), Faults::default());
        let (backend, other) = (faulty(&store, &faults).await, client(&store).await);
        let lost = claim("a", TTL);
        faults.lose_replies(1);
        flaw.request(&*backend, &lost, Queue::Yes).await.unwrap_err();
        let answer = flaw.withdraw(&*backend, &lost.to_ref(), Why::Cancel).await.unwrap();
        assert_eq!(answer, Withdrawn::Absent);

        let waits = claim("b", TTL);
        let queued = flaw.request(&*backend, &waits, Queue::Yes).await.unwrap();
        assert!(matches!(queued, Requested::Queued(_)), "{queued:?}");
        let begun = Clock::system().now();
        while Clock::system().now().since(begun) < TTL * 3 {
            assert!(!holds(&flaw, &*backend, &waits).await, "an orphan is in its way");
            tokio::time::sleep(TTL / 50).await;
        }
        assert_eq!(other.inspect(&lost.name).await.unwrap().holders[0].claim.id, lost.id);
    }
}
