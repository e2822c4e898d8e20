//! The conformance suite on Redis Cluster.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, RedisSubject, RedisTopology};

fn main() -> ExitCode {
    harness::conformance("cluster", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(RedisSubject::start(RedisTopology::Cluster)?)),
    })
}
