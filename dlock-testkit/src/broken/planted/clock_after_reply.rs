use async_trait::async_trait;
use dlock_core::{Claim, ClaimRef, Clock, Instant, Life, LockBackend, Queue, Renewal, Requested, Result};

use crate::Flaw;

/// A life is counted from the moment at which the answer came, not from when the request was sent:
/// the service dropped the claim that much earlier than its holder thinks.
#[derive(Clone, Copy, Debug)]
pub struct ClockAfterReply;

#[async_trait]
impl Flaw for ClockAfterReply {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let sent_at = Clock::system().now();
        Ok(match inner.request(claim, queue).await? {
            Requested::Held(grant, life) => Requested::Held(grant, from_now(life, sent_at)),
            Requested::Queued(life) => Requested::Queued(from_now(life, sent_at)),
            Requested::Refused => Requested::Refused,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let sent_at = Clock::system().now();
        let answers = inner.renew(claims).await.into_iter();
        let late = |renewal| match renewal {
            Renewal::Alive { life, grant, recheck } => Renewal::Alive { life: from_now(life, sent_at), grant, recheck },
            gone => gone,
        };
        answers.map(|answer| answer.map(late)).collect()
    }
}

/// The life from now on, if the request that was sent then did renew it.
fn from_now(life: Life, sent_at: Instant) -> Life {
    if life.sent_at >= sent_at { Life { sent_at: Clock::system().now(), ..life } } else { life }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dlock_core::memory::Memory;

    use super::*;
    use crate::Faults;
    use crate::broken::Sound;
    use crate::broken::planted::scene::{claim, faulty, hold, renewal};

    #[tokio::test]
    async fn a_slow_reply_lets_validity_outlive_the_claim() {
        const SLOW: Duration = Duration::from_secs(1);
        const TTL: Duration = Duration::from_secs(10);
        let (store, faults) = (Memory::new(), Faults::default());
        let backend = faulty(&store, &faults).await;
        let held = claim("a", TTL);
        hold(&ClockAfterReply, &*backend, &held).await;
        faults.delay_answers(SLOW);
        for (flaw, outlives) in [(&ClockAfterReply as &dyn Flaw, true), (&Sound, false)] {
            let Renewal::Alive { life, .. } = renewal(flaw, &*backend, &held).await else { panic!("it is alive") };
            // The service had the renewal before its reply began to travel.
            let expires = Clock::system().now().minus(SLOW) + TTL;
            assert_eq!(life.valid_until().unwrap() > expires, outlives, "{flaw:?}");
        }
    }
}
