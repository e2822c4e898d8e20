use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Clock, Event, Grant, Instant, Life, LockBackend, Queue, Renewal, Requested, Result, Ttl,
    Why, Withdrawn,
};

use crate::Flaw;
use crate::broken::locked;

/// A grant is taken for a renewal of the session on which all claims of a client live: the new claim
/// is believed for a whole ttl, and a renewal that falls due soon after counts as done. In truth the session's timer
/// was reset earlier than that. Where each claim has a timer of its own the bug is none.
#[derive(Debug, Default)]
pub struct GrantExtendsValidity {
    session: Mutex<Session>,
}

#[derive(Debug, Default)]
struct Session {
    /// The renewal that the service knows of, once a grant was seen to come without one.
    renewed: Option<Life>,
    granted_at: Option<Instant>,
    grants: HashMap<ClaimId, Option<Grant>>,
}

impl Session {
    /// A request for the claim that was sent then has been answered with this life.
    fn answered(&mut self, claim: ClaimId, grant: Option<Grant>, life: Life, sent_at: Instant) -> Life {
        let is_shared = self.renewed.is_some() || life.sent_at < sent_at;
        self.grants.insert(claim, grant);
        if !is_shared || life.ttl == Ttl::Process {
            return life;
        }
        self.renewed(life);
        if grant.is_some() {
            self.granted_at = Some(Clock::system().now());
        }
        Life { sent_at: self.granted_at.map_or(life.sent_at, |at| at.max(life.sent_at)), ..life }
    }

    fn renewed(&mut self, life: Life) {
        if self.renewed.is_none_or(|known| known.sent_at < life.sent_at) {
            self.renewed = Some(life);
        }
    }

    /// The life as it seems, where a grant since the last renewal makes another one superfluous. Once
    /// half of the ttl has passed since then it is renewed, grants or not.
    fn by_grants(&self) -> Option<Life> {
        let renewed = self.renewed?;
        let Ttl::For(ttl) = renewed.ttl else { return None };
        let now = Clock::system().now();
        let is_superfluous = self.granted_at? > renewed.sent_at && now < renewed.sent_at + ttl / 2;
        is_superfluous.then_some(Life { sent_at: now, ..renewed })
    }
}

#[async_trait]
impl Flaw for GrantExtendsValidity {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let sent_at = Clock::system().now();
        let answer = inner.request(claim, queue).await?;
        let mut session = locked(&self.session);
        Ok(match answer {
            Requested::Held(grant, life) => {
                Requested::Held(grant, session.answered(claim.id, Some(grant), life, sent_at))
            }
            Requested::Queued(life) => Requested::Queued(session.answered(claim.id, None, life, sent_at)),
            Requested::Refused => Requested::Refused,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let put_off: Option<Vec<_>> = {
            let session = locked(&self.session);
            session.by_grants().and_then(|life| {
                let known = |claim: &ClaimRef| session.grants.get(&claim.id).copied();
                let alive = |grant| Ok(Renewal::Alive { life, grant, recheck: None });
                claims.iter().map(|claim| known(claim).map(alive)).collect()
            })
        };
        if let Some(answers) = put_off {
            return answers;
        }
        let answers = inner.renew(claims).await;
        let mut session = locked(&self.session);
        for (claim, answer) in claims.iter().zip(&answers) {
            if let Ok(Renewal::Alive { life, grant, .. }) = answer {
                session.grants.insert(claim.id, *grant);
                if session.renewed.is_some() {
                    session.renewed(*life);
                }
            }
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        locked(&self.session).grants.remove(&claim.id);
        inner.withdraw(claim, why).await
    }

    fn event(&self, event: Event) -> Option<Event> {
        if let Event::Granted(claim, grant) = event {
            let mut session = locked(&self.session);
            session.grants.insert(claim, Some(grant));
            session.granted_at = Some(Clock::system().now());
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dlock_core::Gone;
    use dlock_core::memory::Memory;

    use super::*;
    use crate::broken::Sound;
    use crate::broken::planted::scene::{LONG, claim, client, client_of, hold, holds, renewal};

    /// Claims live on a session that was renewed at this time, as an adapter with sessions reports it.
    #[derive(Debug)]
    struct SharedSession(Instant);

    #[async_trait]
    impl Flaw for SharedSession {
        async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
            Ok(match inner.request(claim, queue).await? {
                Requested::Held(grant, life) => Requested::Held(grant, Life { sent_at: self.0, ..life }),
                other => other,
            })
        }

        /// It has ended meanwhile.
        async fn renew(&self, _inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
            vec![Ok(Renewal::Gone(Gone::Session)); claims.len()]
        }
    }

    #[tokio::test]
    async fn a_grant_on_a_session_that_is_half_over_is_believed_for_a_whole_ttl() {
        let renewed_at = Clock::system().now().minus(LONG / 2);
        let flaw = GrantExtendsValidity::default();
        for (flaw, outlives) in [(&flaw as &dyn Flaw, true), (&Sound, false)] {
            let backend = client_of(&Memory::new(), Arc::new(SharedSession(renewed_at))).await;
            let (_, life) = hold(flaw, &*backend, &claim("a", LONG)).await;
            assert_eq!(life.valid_until().unwrap() > renewed_at + LONG, outlives, "{flaw:?}");
        }
    }

    #[tokio::test]
    async fn a_renewal_counts_as_done_by_a_grant_until_half_of_the_ttl_has_passed() {
        for (age, is_believed) in [(LONG / 3, true), (LONG * 2 / 3, false)] {
            let (flaw, renewed_at) = (GrantExtendsValidity::default(), Clock::system().now().minus(age));
            let backend = client_of(&Memory::new(), Arc::new(SharedSession(renewed_at))).await;
            let held = claim("a", LONG);
            hold(&flaw, &*backend, &held).await;
            assert_eq!(holds(&flaw, &*backend, &held).await, is_believed, "after {age:?}");
        }
    }

    #[tokio::test]
    async fn claims_with_timers_of_their_own_are_renewed_as_they_should() {
        let flaw = GrantExtendsValidity::default();
        let backend = client(&Memory::new()).await;
        let held = claim("a", LONG);
        hold(&flaw, &*backend, &held).await;
        let asked_at = Clock::system().now();
        let Renewal::Alive { life, .. } = renewal(&flaw, &*backend, &held).await else { panic!("lost") };
        assert!(life.sent_at >= asked_at);
    }
}
