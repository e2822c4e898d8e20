use async_trait::async_trait;
use dlock_core::{Claim, Clock, Life, LockBackend, Queue, Requested, Result};

use crate::Flaw;

/// A grant is taken for a renewal. Where claims share a session, the session's timer was reset
/// earlier than that, and the claim ends with the session.
#[derive(Clone, Copy, Debug)]
pub struct GrantExtendsValidity;

#[async_trait]
impl Flaw for GrantExtendsValidity {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        Ok(match inner.request(claim, queue).await? {
            Requested::Held(grant, life) => Requested::Held(grant, Life { sent_at: Clock::system().now(), ..life }),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dlock_core::Instant;
    use dlock_core::memory::Memory;

    use super::*;
    use crate::broken::Sound;
    use crate::broken::planted::scene::{LONG, claim, client_of, hold};

    /// A session that was last kept alive at this time, as an adapter with shared sessions reports it.
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
    }

    #[tokio::test]
    async fn a_grant_on_a_session_that_is_half_over_is_believed_for_a_whole_ttl() {
        let kept_alive_at = Clock::system().now().minus(LONG / 2);
        for (flaw, outlives) in [(&GrantExtendsValidity as &dyn Flaw, true), (&Sound, false)] {
            let backend = client_of(&Memory::new(), Arc::new(SharedSession(kept_alive_at))).await;
            let (_, life) = hold(flaw, &*backend, &claim("a", LONG)).await;
            assert_eq!(life.valid_until().unwrap() > kept_alive_at + LONG, outlives, "{flaw:?}");
        }
    }
}
