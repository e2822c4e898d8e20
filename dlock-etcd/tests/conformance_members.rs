//! The conformance suite on three etcd members.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, EtcdSubject, EtcdTopology};

fn main() -> ExitCode {
    harness::conformance("members", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(EtcdSubject::start(EtcdTopology::Members)?)),
    })
}
