//! The servers that tests start: they serve, keep their data, and never outlive the tests.

mod consul;
mod disk;
mod etcd;
#[cfg(feature = "etcd")]
mod etcd_login;
mod left_behind;
mod process;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod shared;
mod talk;
mod zookeeper;

use std::time::Duration;

/// How long anything may take on a very busy machine.
const BOUND: Duration = Duration::from_secs(30);
