//! Every case of the suite trips on the flaw it names.

use std::process::ExitCode;

use dlock_testkit::{MemorySubject, harness};

fn main() -> ExitCode {
    harness::broken(|_case, _address| Box::new(MemorySubject::new()))
}
