use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Event, LockBackend, LockName, LockState, Queue, Renewal, Requested, Result, Why,
    Withdrawn,
};

use crate::Flaw;
use crate::broken::locked;

/// The id belongs to the lock object of an owner and a name, not to the acquisition: a release of an
/// earlier hold that comes late, or is repeated, ends the present one. Owners are told apart by
/// their labels; one without a label has a new object each time.
#[derive(Debug, Default)]
pub struct ReleaseByObject {
    objects: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    ids: HashMap<(String, LockName), ClaimId>,
    /// The object of each claim that was asked for.
    of_claims: HashMap<ClaimId, ClaimId>,
    /// The newest claim of each object.
    newest: HashMap<ClaimId, ClaimId>,
}

impl ReleaseByObject {
    fn object(&self, claim: &Claim) -> ClaimId {
        let mut objects = locked(&self.objects);
        let Objects { ids, of_claims, newest } = &mut *objects;
        let id = match &*claim.metadata.label {
            "" => claim.id,
            label => *ids.entry((label.to_owned(), claim.name.clone())).or_insert_with(ClaimId::random),
        };
        of_claims.insert(claim.id, id);
        newest.insert(id, claim.id);
        id
    }

    fn stored(&self, claim: &ClaimRef) -> ClaimRef {
        let id = locked(&self.objects).of_claims.get(&claim.id).copied().unwrap_or(claim.id);
        ClaimRef { id, ..claim.clone() }
    }

    fn claim_of(&self, object: ClaimId) -> ClaimId {
        locked(&self.objects).newest.get(&object).copied().unwrap_or(object)
    }
}

#[async_trait]
impl Flaw for ReleaseByObject {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        inner.request(&Claim { id: self.object(claim), ..claim.clone() }, queue).await
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let stored: Vec<ClaimRef> = claims.iter().map(|claim| self.stored(claim)).collect();
        inner.renew(&stored).await
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        inner.withdraw(&self.stored(claim), why).await
    }

    async fn inspect(&self, inner: &dyn LockBackend, name: &LockName) -> Result<LockState> {
        let mut state = inner.inspect(name).await?;
        for shown in state.holders.iter_mut().chain(&mut state.waiters) {
            shown.claim.id = self.claim_of(shown.claim.id);
        }
        Ok(state)
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Granted(object, grant) => Event::Granted(self.claim_of(object), grant),
            Event::Gone(object, gone) => Event::Gone(self.claim_of(object), gone),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use dlock_core::memory::Memory;

    use super::*;
    use crate::broken::planted::scene::{LONG, claim, client, hold};

    #[tokio::test]
    async fn a_repeated_release_of_the_hold_before_ends_the_present_one() {
        let flaw = ReleaseByObject::default();
        let store = Memory::new();
        let (backend, other) = (client(&store).await, client(&store).await);
        let (before, present, rival) = (claim("a", LONG), claim("a", LONG), claim("b", LONG));
        hold(&flaw, &*backend, &before).await;
        flaw.withdraw(&*backend, &before.to_ref(), Why::Release).await.unwrap();
        hold(&flaw, &*backend, &present).await;
        // As when the first withdrawal's answer got lost.
        let again = flaw.withdraw(&*backend, &before.to_ref(), Why::Release).await.unwrap();
        assert_eq!(again, Withdrawn::Removed);
        hold(&ReleaseByObject::default(), &*other, &rival).await;
    }

    #[tokio::test]
    async fn owners_and_names_are_told_apart() {
        let flaw = ReleaseByObject::default();
        let backend = client(&Memory::new()).await;
        let held = claim("a", LONG);
        hold(&flaw, &*backend, &held).await;
        let other_name = Claim { name: "other".parse().unwrap(), ..claim("a", LONG) };
        hold(&flaw, &*backend, &other_name).await;
        let waits = flaw.request(&*backend, &claim("b", LONG), Queue::No).await.unwrap();
        assert_eq!(waits, Requested::Refused);
    }
}
