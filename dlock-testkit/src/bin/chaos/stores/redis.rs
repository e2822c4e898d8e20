//! Redis: one server, servers under Sentinel, a cluster.

mod alone;
mod claims;
mod cluster;
mod common;
mod failover;
mod operator;
mod sentinel;

pub(super) use self::alone::RedisTarget;
pub(super) use self::cluster::ClusterTarget;
pub(super) use self::sentinel::SentinelTarget;
