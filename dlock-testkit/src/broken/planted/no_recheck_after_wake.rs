use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Event, Grant, Life, LockBackend, LockState, Mode, Queue, Renewal, Requested, Result,
    Token, Why, Withdrawn,
};

use crate::Flaw;
use crate::broken::locked;

/// How often a waiter looks whether the claim before it is gone.
const LOOK: Duration = Duration::from_millis(50);

/// A waiter watches the claim before it, and takes the name as soon as that is gone. It may have
/// been a waiter that gave up: the holder still holds.
#[derive(Debug, Default)]
pub struct NoRecheckAfterWake {
    waiting: Mutex<HashMap<ClaimId, Waiter>>,
}

#[derive(Clone, Copy, Debug)]
enum Waiter {
    Behind(ClaimId),
    /// It took the name, and goes by this token since.
    Holds(Grant),
}

impl NoRecheckAfterWake {
    /// The waiter's standing, when its turn has come for all that it knows.
    async fn woken(&self, inner: &dyn LockBackend, claim: &ClaimRef) -> Result<Option<Grant>> {
        let waiter = locked(&self.waiting).get(&claim.id).copied();
        let before = match waiter {
            None => return Ok(None),
            Some(Waiter::Holds(grant)) => return Ok(Some(grant)),
            Some(Waiter::Behind(before)) => before,
        };
        let state = inner.inspect(&claim.name).await?;
        let is_there = |id| in_line(&state).any(|there| there == id);
        let holder = state.holders.iter().find(|holder| holder.claim.id != claim.id);
        let Some(token) = holder.and_then(|holder| holder.token) else { return Ok(None) };
        if is_there(before) || !is_there(claim.id) {
            return Ok(None);
        }
        let grant = Grant { token: Token { value: token.value + 1, ..token }, predecessor: None };
        Ok(locked(&self.waiting).insert(claim.id, Waiter::Holds(grant)).map(|_| grant))
    }

    fn known(&self, claim: ClaimId, grant: Grant) -> Grant {
        match locked(&self.waiting).get(&claim) {
            Some(Waiter::Holds(known)) => *known,
            _ => grant,
        }
    }
}

#[async_trait]
impl Flaw for NoRecheckAfterWake {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let answer = inner.request(claim, queue).await?;
        if let (Requested::Queued(_), Mode::Exclusive) = (answer, claim.mode) {
            // Without an answer it waits as it should.
            let state = inner.inspect(&claim.name).await.unwrap_or_else(|_| LockState::free(claim.name.clone()));
            let before = in_line(&state).take_while(|id| *id != claim.id).last();
            if let Some(before) = before {
                locked(&self.waiting).insert(claim.id, Waiter::Behind(before));
            }
        }
        Ok(answer)
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (claim, answer) in claims.iter().zip(&mut answers) {
            *answer = match answer.clone() {
                Ok(Renewal::Alive { life, grant: Some(grant), recheck }) => {
                    Ok(Renewal::Alive { life, grant: Some(self.known(claim.id, grant)), recheck })
                }
                Ok(Renewal::Alive { life, grant: None, .. }) => {
                    // A look that fails is repeated.
                    Ok(waiting(life, self.woken(inner, claim).await.unwrap_or_default()))
                }
                other => other,
            };
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let withdrawn = inner.withdraw(claim, why).await?;
        locked(&self.waiting).remove(&claim.id);
        Ok(withdrawn)
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Granted(claim, grant) => Event::Granted(claim, self.known(claim, grant)),
            other => other,
        })
    }
}

fn waiting(life: Life, grant: Option<Grant>) -> Renewal {
    Renewal::Alive { life, grant, recheck: grant.is_none().then_some(LOOK) }
}

/// All that stand under the name, in order.
fn in_line(state: &LockState) -> impl Iterator<Item = ClaimId> {
    state.holders.iter().chain(&state.waiters).map(|shown| shown.claim.id)
}

#[cfg(test)]
mod tests {
    use dlock_core::memory::Memory;

    use super::*;
    use crate::broken::planted::scene::{LONG, claim, client, hold, holds, queue};

    #[tokio::test]
    async fn a_waiter_behind_one_that_gave_up_holds_beside_the_holder() {
        let store = Memory::new();
        let (left, right) = (client(&store).await, client(&store).await);
        let (left_flaw, right_flaw) = (NoRecheckAfterWake::default(), NoRecheckAfterWake::default());
        let (first, second, third) = (claim("a", LONG), claim("b", LONG), claim("c", LONG));
        hold(&left_flaw, &*left, &first).await;
        queue(&left_flaw, &*left, &second).await;
        queue(&right_flaw, &*right, &third).await;
        assert!(!holds(&right_flaw, &*right, &third).await);
        left_flaw.withdraw(&*left, &second.to_ref(), Why::Cancel).await.unwrap();
        assert!(holds(&right_flaw, &*right, &third).await);
        assert!(holds(&left_flaw, &*left, &first).await, "and the holder still holds");
    }

    #[tokio::test]
    async fn a_waiter_behind_the_holder_waits_for_its_release() {
        let flaw = NoRecheckAfterWake::default();
        let backend = client(&Memory::new()).await;
        let (first, second) = (claim("a", LONG), claim("b", LONG));
        hold(&flaw, &*backend, &first).await;
        queue(&flaw, &*backend, &second).await;
        assert!(!holds(&flaw, &*backend, &second).await);
        flaw.withdraw(&*backend, &first.to_ref(), Why::Release).await.unwrap();
        assert!(holds(&flaw, &*backend, &second).await);
    }
}
