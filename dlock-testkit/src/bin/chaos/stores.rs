//! The stores that can be put under faults.

mod entries;
mod etcd;
mod file;
mod hit;
mod patience;
mod redis;

use std::time::Duration;

use clap::ValueEnum;
use dlock_testkit::chaos::{Aim, Kind, Target};

/// Nothing more can be written where the store keeps its data.
const FILL_DISK: Kind = Kind::new("fill disk", Aim::Servers);

/// A store, with its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// A directory.
    File,
    /// One Redis server that writes everything to its append-only file before it answers.
    Redis,
    /// One Redis server that keeps its data in memory only.
    RedisVolatile,
    /// A Redis primary with two replicas, and three sentinels.
    RedisSentinel,
    /// A Redis Cluster of three primaries with a replica each.
    RedisCluster,
    /// An etcd cluster of one member.
    Etcd,
    /// An etcd cluster of three members.
    #[value(name = "etcd-3")]
    Etcd3,
}

impl Store {
    /// Starts its servers.
    pub(crate) async fn deploy(self) -> Box<dyn Target> {
        match self {
            Self::File => Box::new(file::FileTarget::start()),
            Self::Redis => Box::new(redis::RedisTarget::start().await),
            Self::RedisVolatile => Box::new(redis::RedisTarget::start_volatile().await),
            Self::RedisSentinel => Box::new(redis::SentinelTarget::start().await),
            Self::RedisCluster => Box::new(redis::ClusterTarget::start().await),
            Self::Etcd => Box::new(etcd::EtcdTarget::start().await),
            Self::Etcd3 => Box::new(etcd::MembersTarget::start().await),
        }
    }

    /// The ttl of claims in its runs: as short as it takes, for many losses in a short time. Faults
    /// last for some ttls: where servers replace each other, long enough for that.
    pub(crate) fn ttl(self) -> Duration {
        match self {
            Self::File | Self::Redis | Self::RedisVolatile => Duration::from_secs(1),
            Self::RedisSentinel | Self::RedisCluster | Self::Etcd | Self::Etcd3 => Duration::from_secs(2),
        }
    }
}
