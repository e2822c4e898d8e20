//! The conformance suite on Redis.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, RedisSubject};

fn main() -> ExitCode {
    harness::conformance("redis", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(RedisSubject::shared()?)),
    })
}
