//! What is done to servers of which one replaces another.

use std::time::Duration;

use crate::stores::hit::Blow;

pub(super) const FAIL_OVER: &str = "fail over";
pub(super) const STOP_PRIMARY: &str = "stop primary";
pub(super) const KILL_PRIMARY: &str = "kill primary";
pub(super) const ISOLATE_PRIMARY: &str = "isolate primary";
pub(super) const KILL_REPLICA: &str = "kill replica";

/// How long a failover that was asked for may take, until it is asked for again.
pub(super) const FAILOVER: Duration = Duration::from_secs(15);

/// What the fault of this name does to the server that it hits.
pub(super) fn blow(fault: &str) -> Blow {
    match fault {
        STOP_PRIMARY => Blow::Stop,
        ISOLATE_PRIMARY => Blow::Isolate,
        _ => Blow::Kill,
    }
}
