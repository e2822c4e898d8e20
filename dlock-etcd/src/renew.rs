//! Keeping claims alive, and making sure that they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use dlock_core::{ClaimId, ClaimRef, Error, ErrorKind, Gone, Life, Renewal, Result};
use etcd_client::{GetOptions, Txn, TxnOp};
use tokio::time::Instant as Deadline;

use crate::backend::Inner;
use crate::claims::Standing;
use crate::error::Effect;
use crate::lease::Lease;

/// etcd takes at most 128 operations in a transaction (`--max-txn-ops`).
const CHECKS_PER_TRANSACTION: usize = 100;

/// What a majority says of some claims.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The term in which it was asked last.
    term: u64,
    pub(crate) gone: BTreeMap<ClaimId, Gone>,
}

impl Inner {
    /// What has become of each of the claims.
    pub(crate) async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let until = self.rpc.deadline();
        let standing: Vec<_> = claims.iter().map(|claim| self.claims.get(claim.id)).collect();
        let leases: BTreeMap<i64, Arc<Lease>> =
            standing.iter().flatten().map(|one| (one.lease().id, one.lease().clone())).collect();
        let asked = leases.values().map(|lease| async move {
            if lease.is_fresh(self.rpc.clock.now()) {
                Ok(None)
            } else {
                lease.keep_alive(&self.rpc, until).await.map(Some)
            }
        });
        let kept_alive = futures::future::join_all(asked).await;
        // After the keep-alives, which count only then.
        let checked = self.check(&standing.iter().flatten().collect::<Vec<_>>(), until).await;
        let confirmed = leases.values().zip(kept_alive).map(|(lease, kept_alive)| {
            let (kept_alive, checked) = (kept_alive?, checked.as_ref().map_err(Error::clone)?);
            kept_alive.map_or_else(|| Ok(lease.life()), |kept_alive| lease.confirm(kept_alive, checked.term))
        });
        let lives: BTreeMap<i64, Result<Life>> = leases.keys().copied().zip(confirmed).collect();
        let renewal = |one: &Option<Arc<Standing>>| {
            let Some(one) = one else { return Ok(Renewal::Gone(Gone::Absent)) };
            let gone = checked.as_ref().ok().and_then(|checked| checked.gone.get(&one.id));
            let alive = match (gone, lives.get(&one.lease().id)) {
                (Some(gone), _) => Err(*gone),
                (None, Some(Ok(life))) => Ok(*life),
                (None, Some(Err(error))) if error.kind() == ErrorKind::Lost => Err(Gone::Session),
                (None, Some(Err(error))) => return Err(error.clone()),
                (None, None) => Err(Gone::Session),
            };
            Ok(match alive {
                Ok(life) => Renewal::Alive { life, grant: one.grant(), recheck: None },
                Err(gone) => {
                    self.forget(one);
                    Renewal::Gone(gone)
                }
            })
        };
        standing.iter().map(renewal).collect()
    }

    /// Checks the keys that no watch stands on, and at least one: a lease that lives says nothing of
    /// the keys on it. Answers for the claims that are gone, or could not be checked.
    ///
    /// # Errors
    /// When a majority did not answer.
    pub(crate) async fn check(&self, standing: &[&Arc<Standing>], until: Deadline) -> Result<Checked> {
        let mut read: Vec<_> = standing.iter().copied().filter(|one| !one.is_watched()).collect();
        if read.is_empty() {
            read.extend(standing.first());
        }
        let checks = read.chunks(CHECKS_PER_TRANSACTION).map(|some| self.check_some(some, until));
        let mut all = Checked::default();
        for checked in futures::future::try_join_all(checks).await? {
            all.term = all.term.max(checked.term);
            all.gone.extend(checked.gone);
        }
        Ok(all)
    }

    async fn check_some(&self, some: &[&Arc<Standing>], until: Deadline) -> Result<Checked> {
        let before: Vec<_> = some.iter().map(|one| (one.moves(), one.expected())).collect();
        let gets = some.iter().map(|one| TxnOp::get(one.key(), Some(GetOptions::new().with_keys_only())));
        let txn = Txn::new().and_then(gets.collect::<Vec<_>>());
        let answer = self.rpc.txn(until, Effect::Read, txn).await?;
        let mut checked = Checked { term: answer.term, gone: BTreeMap::new() };
        for (index, (one, (moves, expected))) in some.iter().zip(before).enumerate() {
            let seen = expected.check(answer.range(index)?.kvs().first());
            // A conversion that is under way finds out for itself what becomes of the claim.
            let moving = !moves.is_multiple_of(2) || one.moves() != moves;
            match seen {
                _ if moving => {}
                Ok(()) => one.set_seen_at(answer.revision),
                Err(gone) => drop(checked.gone.insert(one.id, gone)),
            }
        }
        Ok(checked)
    }
}
