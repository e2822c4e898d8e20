//! Real coordination servers for tests, and processes that can be stopped and killed.
//!
//! - [`redis`], [`etcd`], [`consul`] and [`zookeeper`] give the one server that all tests of a
//!   process share: by URL (`DLOCK_TEST_REDIS` and so on) or started from what is installed. Keep
//!   tests apart by namespace.
//! - [`Redis`], [`Etcd`], [`Consul`] and [`ZooKeeper`] are servers of the test's own, to stop, kill
//!   and restart; ask [`Redis::installed`] and so on first.
//! - [`RedisSentinel`], [`RedisCluster`], [`EtcdCluster`], [`ConsulCluster`] and [`ZooKeeperCluster`]
//!   are several that form one service; each can be cut off from the others ([`Members`]).
//! - Without a server they answer a [`Skip`], which prints itself past the test harness's capture;
//!   naming the server in `DLOCK_REQUIRE` (`redis,etcd`) makes it a failure.
//! - [`SmallDisk`] is a disk that can be filled up, for a server or a directory of the test's own.
//! - [`Process`] is any other program, to stop, resume and kill: a client, say.
//!
//! Whatever is started here ends with the test process, however that ends: see [`Watchdog`].

#[cfg(feature = "tls")]
mod certificates;
pub(crate) mod clock;
mod consul;
mod data_dir;
mod disk;
mod etcd;
mod kind;
mod members;
mod node;
mod patience;
mod peers;
mod ports;
mod probe;
mod process;
mod programs;
mod redis;
mod server;
mod shared;
mod skip;
mod url;
mod watchdog;
mod zookeeper;

pub use self::consul::{Consul, ConsulBuilder, ConsulCluster, ConsulClusterBuilder};
pub use self::disk::SmallDisk;
#[cfg(feature = "etcd")]
pub use self::etcd::EtcdSnapshot;
#[cfg(feature = "etcd")]
pub(crate) use self::etcd::operator;
pub use self::etcd::{Etcd, EtcdBuilder, EtcdCluster, EtcdClusterBuilder, EtcdVersion};
pub use self::members::Members;
pub use self::node::Node;
pub(crate) use self::ports::free_port;
pub use self::process::{Output, Process};
pub use self::redis::{
    Redis, RedisBuilder, RedisCluster, RedisClusterBuilder, RedisProgram, RedisSentinel, RedisSentinelBuilder,
};
pub use self::server::Server;
pub use self::shared::{consul, etcd, redis, zookeeper};
pub use self::skip::Skip;
pub use self::watchdog::Watchdog;
pub use self::zookeeper::{ZooKeeper, ZooKeeperBuilder, ZooKeeperCluster, ZooKeeperClusterBuilder};
