//! The conformance suite on the memory backend whose callers take free names by themselves.

use std::process::ExitCode;

use dlock_testkit::{MemorySubject, harness};

fn main() -> ExitCode {
    harness::conformance("memory-fast-path", |_address| Ok(Box::new(MemorySubject::new().with_fast_path())))
}
