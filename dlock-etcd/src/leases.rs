//! The leases of this client: one for each ttl in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use dlock_core::Result;
use tokio::runtime::Handle;
use tokio::time::Instant as Deadline;

use crate::lease::Lease;
use crate::rpc::Rpc;

/// An idle lease is revoked after this time, if it has not lapsed before.
const IDLE: Duration = Duration::from_secs(30);

/// Leases that take new claims, by the seconds that were asked for.
#[derive(Debug)]
pub(crate) struct Leases {
    rpc: Rpc,
    open: Mutex<HashMap<i64, Arc<Lease>>>,
    /// Taken by those who ask the server for a lease, or for more of its life.
    asking: tokio::sync::Mutex<()>,
    /// Claims that go now are left to lapse.
    closed: AtomicBool,
    runtime: Handle,
    me: Weak<Leases>,
}

/// One claim's place on a lease. The last one to go ends a retired lease.
#[derive(Debug)]
pub(crate) struct LeaseUse {
    lease: Arc<Lease>,
    leases: Weak<Leases>,
}

impl Leases {
    pub(crate) fn new(rpc: Rpc) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            rpc,
            open: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            closed: AtomicBool::new(false),
            runtime: Handle::current(),
            me: me.clone(),
        })
    }

    /// A place on a lease for a claim of `ttl` that has more than half of its life before it, if
    /// there is one.
    pub(crate) fn take_fresh(&self, ttl: Duration) -> Option<LeaseUse> {
        let open = self.open();
        let lease = open.get(&seconds(ttl)).filter(|lease| lease.takes_claims())?;
        let now = self.rpc.clock.now();
        if lease.is_due(now) || lease.is_worn(now) { None } else { self.hold(lease) }
    }

    /// A place on a lease for a claim of `ttl`, fresh enough to be worth it.
    pub(crate) async fn take(&self, ttl: Duration, until: Deadline) -> Result<LeaseUse> {
        if let Some(place) = self.take_fresh(ttl) {
            return Ok(place);
        }
        let asking = tokio::time::timeout_at(until, self.asking.lock()).await;
        let _asking = asking.map_err(|_| crate::error::timed_out(crate::error::Effect::Read))?;
        if let Some(place) = self.take_fresh(ttl) {
            return Ok(place);
        }
        let seconds = seconds(ttl);
        // Past its deadline it is another client's time: whatever the server says now.
        let worn = self.open().get(&seconds).filter(|lease| !lease.is_due(self.rpc.clock.now())).cloned();
        // A grant with little life left would have to be renewed before it is of use.
        if let Some(lease) = worn.filter(|lease| lease.takes_claims())
            && lease.renew(&self.rpc, until).await.is_ok()
            && let Some(place) = self.take_fresh(ttl)
        {
            return Ok(place);
        }
        let lease = Arc::new(Lease::grant(&self.rpc, seconds, until).await?);
        let place = self.hold(&lease).expect("nobody else knows of it");
        if let Some(old) = self.open().insert(seconds, lease) {
            self.end(old);
        }
        Ok(place)
    }

    /// Ends all: what lives on them does not count any more.
    pub(crate) fn give_up(&self) {
        let open = std::mem::take(&mut *self.open());
        open.into_values().for_each(|lease| self.end(lease));
    }

    /// No new claims; it is revoked once it has none.
    fn end(&self, lease: Arc<Lease>) {
        lease.retire();
        if lease.close_if_idle() && !lease.is_ended() {
            self.spawn_revoke(lease);
        }
    }

    /// A place on that lease; `None` when it may be on its way to being revoked.
    pub(crate) fn hold(&self, lease: &Arc<Lease>) -> Option<LeaseUse> {
        lease.enter().then(|| LeaseUse { lease: lease.clone(), leases: self.me.clone() })
    }

    /// From now on, leases lapse.
    pub(crate) fn leave(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the leases that nobody lives on; the others lapse.
    pub(crate) async fn close(&self, until: Deadline) {
        self.leave();
        let open = std::mem::take(&mut *self.open());
        for lease in open.into_values() {
            lease.retire();
            if lease.close_if_idle() && !lease.is_ended() {
                // Not answered: then it lapses.
                let _ = lease.revoke(&self.rpc, until).await;
            }
        }
    }

    /// Revokes a retired lease that has no claims left, until the server says so or it has lapsed.
    fn spawn_revoke(&self, lease: Arc<Lease>) {
        let rpc = self.rpc.clone();
        self.runtime.spawn(async move {
            while !lease.is_ended() && !lease.is_due(rpc.clock.now()) {
                if lease.revoke(&rpc, rpc.deadline()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            lease.set_ended();
        });
    }

    fn open(&self) -> MutexGuard<'_, HashMap<i64, Arc<Lease>>> {
        self.open.lock().expect("no panic while locked")
    }

    fn became_idle(&self, lease: &Arc<Lease>) {
        if self.is_closed() {
            return;
        }
        if lease.is_retired() {
            return self.end(lease.clone());
        }
        // A short lease lapses by itself, since nobody keeps it alive.
        if lease.ttl <= IDLE {
            return;
        }
        // One watchman for each lease, not one for each time that it becomes idle.
        if lease.idle_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let (me, lease) = (self.me.clone(), Arc::downgrade(lease));
        self.runtime.spawn(async move {
            tokio::time::sleep(IDLE).await;
            let (Some(me), Some(lease)) = (me.upgrade(), lease.upgrade()) else { return };
            lease.idle_watched.store(false, Ordering::SeqCst);
            let mut open = me.open();
            if lease.is_idle() && !lease.is_retired() {
                open.retain(|_, other| other.id != lease.id);
                me.end(lease);
            }
        });
    }
}

/// etcd counts in seconds.
fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).unwrap_or(i64::MAX)
}

impl LeaseUse {
    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }
}

impl Drop for LeaseUse {
    fn drop(&mut self) {
        if let (true, false, Some(leases)) = (self.lease.leave(), self.lease.is_ended(), self.leases.upgrade()) {
            leases.became_idle(&self.lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use dlock_core::Clock;
    use dlock_testkit::servers::Etcd;
    use etcd_client::ConnectOptions;

    use super::*;

    #[tokio::test]
    async fn what_may_be_on_its_way_to_being_revoked_takes_no_claims() {
        if Etcd::installed().is_err() {
            return;
        }
        let server = Etcd::start().await;
        let (addresses, options) = (vec![server.endpoint()], ConnectOptions::new());
        let timeout = Duration::from_secs(30);
        let rpc = Rpc::open(addresses, options, "a/".into(), Clock::system(), timeout).await.unwrap();
        let leases = Leases::new(rpc.clone());
        let take = async || leases.take(timeout, rpc.deadline()).await.unwrap();
        let place = take().await;
        let lease = place.lease().clone();
        assert!(!lease.close_if_idle(), "it has a claim");
        drop(place);
        assert!(lease.close_if_idle());
        assert!(leases.take_fresh(timeout).is_none());
        assert!(leases.hold(&lease).is_none());
        assert_ne!(take().await.lease().id, lease.id);
    }
}
