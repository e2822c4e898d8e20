//! The conformance suite on Redis under Sentinel.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, RedisSubject, RedisTopology};

fn main() -> ExitCode {
    harness::conformance("sentinel", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(RedisSubject::start(RedisTopology::Sentinel)?)),
    })
}
