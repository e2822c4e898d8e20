//! Removing claims, those included that may not have arrived yet.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Claim, ClaimRef, Result, Withdrawn};
use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp};
use tokio::time::Instant as Deadline;

use crate::backend::Inner;
use crate::claims::{Standing, Unsettled};
use crate::error::Effect;
use crate::inspect::entries;
use crate::keys::Seat;
use crate::lease::Lease;

impl Inner {
    /// Removes every key that the claim stands at, or could come to stand at.
    pub(crate) async fn withdraw(self: Arc<Self>, claim: &ClaimRef, until: Deadline) -> Result<Withdrawn> {
        // First, so that the deletion is not taken for a loss.
        let standing = self.claims.remove(claim.id);
        let unsettled = self.claims.join_unsettled(claim.id);
        let seats = standing.iter().map(|one| one.seat).chain(unsettled.iter().map(|one| one.seat));
        let removed = match (&standing, seats.last()) {
            // It never was elsewhere, and all requests for it were answered.
            (Some(standing), _) if unsettled.is_none() && standing.moves() == 0 => {
                self.claims.unsettle(standing.id, standing.seat);
                let deleted = self.rpc.delete(until, standing.key()).await?;
                self.vacate(standing);
                return Ok(withdrawn(deleted > 0));
            }
            (_, Some(seat)) => {
                self.claims.unsettle(claim.id, seat);
                self.delete_in(seat, claim, until).await?
            }
            (_, None) => self.delete_strange(claim, until).await?,
        };
        drop(standing);
        self.claims.settle(claim.id);
        if let Some(Unsettled { seat, lease: Some(lease), .. }) = unsettled {
            self.retire(claim, seat, lease, until).await;
        }
        Ok(withdrawn(removed))
    }

    /// The claim's key is gone, by a request that was answered.
    pub(crate) fn vacate(&self, standing: &Standing) {
        if self.claims.settle(standing.id) {
            self.seats.give_back(standing.seat);
        }
    }

    /// Deletes every key in the seat that the claim could stand at; answers whether there was one.
    async fn delete_in(&self, seat: Seat, claim: &ClaimRef, until: Deadline) -> Result<bool> {
        let places = self.keys.name(&claim.name).places(claim.mode, seat);
        let deletions: Vec<_> = places.into_iter().map(|key| TxnOp::delete(key, None)).collect();
        Ok(self.rpc.txn(until, Effect::Write, Txn::new().and_then(deletions)).await?.deleted() > 0)
    }

    /// Deletes the key of a claim that another client made; answers whether there was one.
    async fn delete_strange(&self, claim: &ClaimRef, until: Deadline) -> Result<bool> {
        let under = self.keys.name(&claim.name);
        loop {
            let entries = entries(&self.rpc, &under, until).await?;
            let is_its = |entry: &&KeyValue| Claim::from_record(entry.value()).is_ok_and(|found| found.id == claim.id);
            let Some(entry) = entries.found.iter().find(is_its) else { return Ok(false) };
            // Somebody else may sit there by the time that this arrives.
            let deletion = Txn::new()
                .when([Compare::mod_revision(entry.key(), CompareOp::Equal, entry.mod_revision())])
                .and_then([TxnOp::delete(entry.key(), None)]);
            if self.rpc.txn(until, Effect::Write, deletion).await?.succeeded {
                return Ok(true);
            }
        }
    }

    /// A request of the claim may still arrive, on a lease that other claims keep alive. The lease
    /// takes no new claims and ends with its last one; until then the deletion is repeated. A lease
    /// without other claims ends now.
    async fn retire(self: Arc<Self>, claim: &ClaimRef, seat: Seat, lease: Arc<Lease>, until: Deadline) {
        lease.retire();
        if lease.close_if_idle() && lease.revoke(&self.rpc, until).await.is_ok() {
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
                if !lease.is_ended() && lease.close_if_idle() {
                    let _ = lease.revoke(&inner.rpc, inner.rpc.deadline()).await;
                }
                let over = lease.is_ended() || (lease.is_idle() && lease.is_due(inner.rpc.clock.now()));
                if inner.delete_in(seat, &claim, inner.rpc.deadline()).await.is_ok() && over {
                    return;
                }
            }
        });
    }
}

pub(crate) fn withdrawn(removed: bool) -> Withdrawn {
    if removed { Withdrawn::Removed } else { Withdrawn::Absent }
}
