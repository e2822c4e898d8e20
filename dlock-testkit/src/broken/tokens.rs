//! Defects in fencing tokens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, ClaimRef, Event, Grant, LockBackend, LockName, Mode, Queue, Renewal, Requested, Result, Token, Why,
    Withdrawn,
};

use super::locked;
use crate::Flaw;

/// Tokens are not minted once per grant by one counter, but by some careless rule.
#[derive(Debug)]
pub struct Miscounts {
    rule: Rule,
    known: Mutex<Known>,
}

/// How tokens are miscounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All grants have the same token.
    Constant,
    /// The counter is kept with the name's entries, and begins anew once the name was free.
    CounterDiesWithItsName,
    /// Only exclusive grants count; shared ones repeat the token of the last exclusive one.
    OnlyWritersCount,
    /// Every permit of a semaphore has the token of the first.
    OneForAllPermits,
    /// Who comes to hold after a break takes the broken claim's token over.
    HeirsInherit,
    /// A renewal mints a token too.
    RenewalsCount,
}

#[derive(Debug, Default)]
struct Known {
    claims: HashMap<ClaimId, (LockName, Mode)>,
    issued: HashMap<ClaimId, Token>,
    counters: HashMap<LockName, u64>,
    last_of_a_name: HashMap<LockName, Token>,
    inherited: HashMap<LockName, Token>,
    renewals: u64,
}

impl Miscounts {
    /// Tokens by this rule.
    #[must_use]
    pub fn by(rule: Rule) -> Self {
        Self { rule, known: Mutex::default() }
    }

    fn spoil(&self, claim: ClaimId, grant: Grant) -> Grant {
        let mut known = self.known();
        if let Some(token) = known.issued.get(&claim) {
            return Grant { token: *token, ..grant };
        }
        let token = known.mint(self.rule, claim, grant.token);
        known.issued.insert(claim, token);
        Grant { token, ..grant }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }
}

impl Known {
    fn mint(&mut self, rule: Rule, claim: ClaimId, sound: Token) -> Token {
        let Some((name, mode)) = self.claims.get(&claim).cloned() else { return sound };
        let repeats = match rule {
            Rule::Constant => return Token { value: 7, ..sound },
            Rule::CounterDiesWithItsName => {
                let counter = self.counters.entry(name).or_default();
                *counter += 1;
                return Token { value: *counter, ..sound };
            }
            Rule::HeirsInherit => return self.inherited.remove(&name).unwrap_or(sound),
            Rule::RenewalsCount => return sound,
            Rule::OnlyWritersCount => mode == Mode::Shared,
            Rule::OneForAllPermits => true,
        };
        let last = self.last_of_a_name.entry(name).or_insert(sound);
        if !repeats {
            *last = sound;
        }
        *last
    }
}

#[async_trait]
impl Flaw for Miscounts {
    async fn request(&self, inner: &dyn LockBackend, claim: &Claim, queue: Queue) -> Result<Requested> {
        let was_free = inner.inspect(&claim.name).await?.is_free();
        {
            let mut known = self.known();
            known.claims.insert(claim.id, (claim.name.clone(), claim.mode));
            if was_free {
                known.counters.remove(&claim.name);
            }
        }
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
                if self.rule == Rule::RenewalsCount {
                    let mut known = self.known();
                    known.renewals += 1;
                    grant.token.value += known.renewals;
                }
            }
        }
        answers
    }

    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why == Why::Break {
            let mut known = self.known();
            if let Some(token) = known.issued.get(&claim.id).copied() {
                known.inherited.insert(claim.name.clone(), token);
            }
        }
        inner.withdraw(claim, why).await
    }

    fn event(&self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Granted(claim, grant) => Event::Granted(claim, self.spoil(claim, grant)),
            other => other,
        })
    }
}
