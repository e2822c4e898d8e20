use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Event, Grant, LockBackend, LockName, Queue, Renewal, Requested, Result, Token, Why,
    Withdrawn,
};

use crate::Flaw;
use crate::broken::locked;

/// So many grants of one client on one name have tokens of its own count; then it takes the
/// service's once more.
const OWN_COUNT: u64 = 8;

/// The token is the client's own count of its grants, begun at the last token that it took from the
/// service: it grows for each client, and not over all of them.
#[derive(Debug, Default)]
pub struct WrongToken {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What is asked for, until it is withdrawn.
    names: HashMap<ClaimId, LockName>,
    issued: HashMap<ClaimId, Token>,
    counts: HashMap<LockName, Count>,
}

#[derive(Debug)]
struct Count {
    from: Token,
    issued: u64,
}

impl WrongToken {
    fn spoil(&self, claim: ClaimId, grant: Grant) -> Grant {
        Grant { token: locked(&self.known).token(claim, grant.token), ..grant }
    }
}

impl Known {
    fn token(&mut self, claim: ClaimId, sound: Token) -> Token {
        if let Some(token) = self.issued.get(&claim) {
            return *token;
        }
        let Some(name) = self.names.get(&claim) else { return sound };
        let count = self.counts.entry(name.clone()).or_insert(Count { from: sound, issued: 0 });
        if count.issued == OWN_COUNT {
            *count = Count { from: sound, issued: 0 };
        }
        let token = Token { value: count.from.value + count.issued, ..count.from };
        count.issued += 1;
        self.issued.insert(claim, token);
        token
    }
}

#[async_trait]
impl Flaw for WrongToken {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        locked(&self.known).names.insert(claim.id, claim.name.clone());
        Ok(match inner.request(claim, queue).await? {
            Requested::Held(grant, life) => Requested::Held(self.spoil(claim.id, grant), life),
            other => other,
        })
    }

    async fn renew(&self, inner: &dyn LockBackend, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = inner.renew(claims).await;
        for (claim, answer) in claims.iter().zip(&mut answers) {
            if let Ok(Renewal::Alive { grant: Some(grant), .. }) = answer {
                *grant = self.spoil(claim.id, *grant);
            }
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let withdrawn = inner.withdraw(claim, why).await?;
        let mut known = locked(&self.known);
        known.names.remove(&claim.id);
        known.issued.remove(&claim.id);
        Ok(withdrawn)
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Granted(claim, grant) => Event::Granted(claim, self.spoil(claim, grant)),
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
    async fn tokens_grow_for_each_client_and_not_over_both() {
        let store = Memory::new();
        let (left, right) = (client(&store).await, client(&store).await);
        let (left_flaw, right_flaw) = (WrongToken::default(), WrongToken::default());
        let mut tokens = Vec::new();
        for (flaw, backend) in [(&left_flaw, &left), (&right_flaw, &right), (&right_flaw, &right), (&left_flaw, &left)]
        {
            let one = claim("a", LONG);
            let (grant, _) = hold(flaw, &**backend, &one).await;
            tokens.push(grant.token.value);
            flaw.withdraw(&**backend, &one.to_ref(), Why::Release).await.unwrap();
        }
        let [left_first, right_first, right_second, left_second] = tokens[..] else { panic!("four were taken") };
        assert!(left_first < left_second && right_first < right_second, "{tokens:?}");
        assert!(left_second <= right_second, "the last grant has no higher token than the one before: {tokens:?}");
    }
}
