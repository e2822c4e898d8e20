//! Removing claims, those included that may not have arrived yet.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{ClaimRef, Result};
use etcd_client::{Txn, TxnOp};
use tokio::time::Instant as Deadline;

use crate::backend::Inner;
use crate::claims::Standing;
use crate::error::Effect;
use crate::lease::Lease;

impl Inner {
    /// Deletes every key that the claim could stand at; answers whether there was one. A claim that
    /// is `known` stands at one key, unless it was moved, which leaves that open when it fails.
    pub(crate) async fn delete(&self, claim: &ClaimRef, known: Option<&Standing>, until: Deadline) -> Result<bool> {
        let deleted = match known.filter(|standing| standing.moves() == 0) {
            Some(standing) => self.rpc.delete(until, standing.key()).await?,
            None => {
                let places = self.keys.name(&claim.name).places(claim.mode, claim.id);
                let deletions: Vec<_> = places.into_iter().map(|key| TxnOp::delete(key, None)).collect();
                self.rpc.txn(until, Effect::Write, Txn::new().and_then(deletions)).await?.deleted()
            }
        };
        Ok(deleted > 0)
    }

    /// A request of the claim may still arrive, on a lease that other claims keep alive. The lease
    /// takes no new claims and ends with its last one; until then the deletion is repeated. A lease
    /// without other claims ends now.
    pub(crate) async fn retire(self: Arc<Self>, claim: &ClaimRef, lease: Arc<Lease>, until: Deadline) {
        lease.retire();
        if lease.is_idle() && lease.revoke(&self.rpc, until).await.is_ok() {
            return;
        }
        let (inner, claim) = (Arc::downgrade(&self), claim.clone());
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(250);
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
                // A client that closes leaves its claims to lapse.
                let Some(inner) = inner.upgrade().filter(|inner| !inner.leases.is_closed()) else { return };
                if lease.is_idle() && !lease.is_ended() {
                    let _ = lease.revoke(&inner.rpc, inner.rpc.deadline()).await;
                }
                let over = lease.is_ended() || (lease.is_idle() && lease.is_due(inner.rpc.clock.now()));
                if inner.delete(&claim, None, inner.rpc.deadline()).await.is_ok() && over {
                    return;
                }
            }
        });
    }
}
