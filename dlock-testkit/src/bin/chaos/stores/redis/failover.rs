//! What is done to servers of which one replaces another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dlock_testkit::servers::Members;

pub(super) const FAIL_OVER: &str = "fail over";
pub(super) const STOP_PRIMARY: &str = "stop primary";
pub(super) const KILL_PRIMARY: &str = "kill primary";
pub(super) const ISOLATE_PRIMARY: &str = "isolate primary";
pub(super) const KILL_REPLICA: &str = "kill replica";

/// How long a failover that was asked for may take, until it is asked for again.
pub(super) const FAILOVER: Duration = Duration::from_secs(15);

/// Which member the present fault has hit, if any.
#[derive(Debug, Default)]
pub(super) struct Hit(Mutex<Option<usize>>);

impl Hit {
    /// Stops, isolates or kills a member, as the fault's name says.
    pub(super) fn begin(&self, fault: &str, members: &Members, member: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(member);
        match fault {
            STOP_PRIMARY => members.node(member).stop(),
            ISOLATE_PRIMARY => members.isolate(member),
            _ => members.node(member).kill(),
        }
    }

    /// Has the member that was hit work again; answers whether there was one.
    pub(super) async fn end(&self, fault: &str, members: &Members) -> bool {
        let hit = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(member) = hit else { return false };
        match fault {
            STOP_PRIMARY => members.node(member).resume(),
            ISOLATE_PRIMARY => members.rejoin(member),
            _ => members.restart(member).await,
        }
        true
    }
}
