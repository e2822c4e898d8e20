//! Real coordination servers for tests, and processes that can be stopped and killed.
//!
//! - [`redis`] and [`etcd`] give the one server that all tests of a process share: by URL
//!   (`DLOCK_TEST_REDIS`, `DLOCK_TEST_ETCD`) or started from the installed binary. Keep tests apart by namespace.
//! - [`own_redis`] and [`own_etcd`] give a server of the test's own, to stop, kill and restart.
//! - Without a server they answer a [`Skip`], which prints itself past the test harness's capture;
//!   naming the server in `DLOCK_REQUIRE` (`redis,etcd`) makes it a failure.
//!
//! Whatever is started here ends with the test process, however that ends: see [`Watchdog`].

mod data_dir;
mod etcd;
mod http;
mod node;
mod ports;
mod process;
mod redis;
mod shared;
mod skip;
mod watchdog;

pub use self::etcd::{Etcd, EtcdBuilder};
pub use self::node::Node;
pub use self::process::{Output, Process};
pub use self::redis::{Redis, RedisBuilder};
pub use self::shared::{Server, etcd, own_etcd, own_redis, redis};
pub use self::skip::Skip;
pub use self::watchdog::Watchdog;
