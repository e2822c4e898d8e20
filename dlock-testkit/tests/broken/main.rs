//! Every case of the suite trips on the flaw it names.

mod simulated;

use std::path::PathBuf;
use std::process::ExitCode;

use dlock_core::Connect;
use dlock_file::FileConfig;
use dlock_testkit::{Case, MemorySubject, Need, Subject, Tamper, harness};
use tempfile::TempDir;

use self::simulated::Simulated;

fn main() -> ExitCode {
    harness::broken(|case, address| subject(case, address))
}

/// The memory backend, with simulated troubles where a case needs some, or files where it needs
/// other processes.
fn subject(case: &Case, address: Option<String>) -> Box<dyn Subject> {
    if case.needs.iter().any(|need| matches!(need, Need::Alone(_))) {
        return Box::new(Simulated::default());
    }
    if !case.needs.contains(&Need::Processes) {
        return Box::new(MemorySubject::new());
    }
    Box::new(match address {
        Some(dir) => Files { dir: dir.into(), _owned: None },
        None => {
            let owned = TempDir::new().expect("a test has a place for temporary files");
            Files { dir: owned.path().to_owned(), _owned: Some(owned) }
        }
    })
}

#[derive(Debug)]
struct Files {
    dir: PathBuf,
    /// Removed with the subject, in the process that made it.
    _owned: Option<TempDir>,
}

impl Subject for Files {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(FileConfig::new(&self.dir))
    }

    fn address(&self) -> Option<String> {
        self.dir.to_str().map(str::to_owned)
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        None
    }
}
