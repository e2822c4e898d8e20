//! The conformance suite on an etcd server that speaks TLS, to clients that log in and may do no
//! more than they need.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, EtcdSubject, EtcdTopology};

fn main() -> ExitCode {
    harness::conformance("tls_login", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(EtcdSubject::start(EtcdTopology::TlsLogin)?)),
    })
}
