//! The conformance suite on files.

use std::process::ExitCode;

use dlock_testkit::harness;
use dlock_testkit::stores::{self, FileSubject};

fn main() -> ExitCode {
    harness::conformance("file", |address| match address {
        Some(url) => Ok(stores::open(&url).expect("it is the address of a subject")),
        None => Ok(Box::new(FileSubject::temporary())),
    })
}
