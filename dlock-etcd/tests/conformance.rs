//! The conformance suite on etcd.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, EtcdSubject};

fn main() -> ExitCode {
    harness::conformance("etcd", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(EtcdSubject::shared()?)),
    })
}
