//! The conformance suite on a Redis server that speaks TLS, to clients that may do no more than
//! they need.

use std::process::ExitCode;

use dlock_redis::acl_rules;
use dlock_testkit::harness;
use dlock_testkit::stores::{self, RedisSubject, RedisTopology};

fn main() -> ExitCode {
    harness::conformance("tls_acl", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(RedisSubject::start(RedisTopology::TlsAndUser(rules()))?)),
    })
}

/// The documented ones, for all namespaces of the suite instead of one.
fn rules() -> Vec<String> {
    let rules = acl_rules(&"t-suite".parse().expect("it is a namespace"));
    rules.replace("t-suite", "t-*").split(' ').map(str::to_owned).collect()
}
