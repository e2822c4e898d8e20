//! The conformance suite on the memory backend.

use std::process::ExitCode;

use dlock_testkit::{MemorySubject, harness};

fn main() -> ExitCode {
    harness::conformance("memory", |_address| Ok(Box::new(MemorySubject::new())))
}
