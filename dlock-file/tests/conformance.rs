//! The conformance suite on files.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Claim, ClaimId, Clock, Connect, ConnectContext, LockName, Metadata, Mode, Namespace, Queue};
use dlock_file::FileConfig;
use dlock_testkit::{Subject, Tamper, harness};
use tempfile::TempDir;

/// A directory.
#[derive(Clone, Debug)]
struct FileSubject {
    dir: PathBuf,
}

fn main() -> ExitCode {
    // Removed when the last case is done. A worker is given the one of the process that started it.
    let owned: OnceCell<TempDir> = OnceCell::new();
    harness::conformance("file", |address| {
        let new = || TempDir::new().expect("a test has a place for temporary files");
        let dir = address.map_or_else(|| owned.get_or_init(new).path().to_owned(), PathBuf::from);
        Ok(Box::new(FileSubject { dir }))
    })
}

impl FileSubject {
    /// The files in the namespace's buckets, and the claims recorded in them.
    fn files(&self, namespace: &Namespace) -> Vec<(PathBuf, Option<Claim>)> {
        let buckets = entries(&self.dir.join(namespace.as_str())).into_iter().filter(|path| path.is_dir());
        let files = buckets.flat_map(|bucket| entries(&bucket));
        let with_claim = files.map(|path| {
            let claim = fs::read(&path).ok().and_then(|content| Claim::from_record(&content).ok());
            (path, claim)
        });
        with_claim.collect()
    }

    /// Where the claims on `name` stand.
    fn claims(&self, namespace: &Namespace, name: &LockName) -> Vec<PathBuf> {
        let files = self.files(namespace).into_iter();
        files
            .filter(|(_, claim)| claim.as_ref().is_some_and(|claim| claim.name == *name))
            .map(|(path, _)| path)
            .collect()
    }
}

impl Subject for FileSubject {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(FileConfig::new(&self.dir))
    }

    fn address(&self) -> Option<String> {
        self.dir.to_str().map(str::to_owned)
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }
}

#[async_trait]
impl Tamper for FileSubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        for path in self.claims(namespace, name) {
            // It may have gone by itself meanwhile.
            let _ = fs::remove_file(path);
        }
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        let context = ConnectContext { namespace: namespace.clone(), clock: Clock::system() };
        let scratch = self.client().connect(context).await.expect("the directory can be used");
        if self.claims(namespace, name).is_empty() {
            let claim = Claim {
                id: ClaimId::random(),
                name: name.clone(),
                mode: Mode::Exclusive,
                ttl: Duration::from_secs(1),
                metadata: Metadata::default(),
            };
            scratch.request(&claim, Queue::Yes).await.expect("the name is free");
        }
        let path = self.claims(namespace, name).swap_remove(0);
        fs::write(path, "garbage").expect("the directory can be written to");
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        self.files(namespace).len()
    }
}

/// What stands in a directory; nothing where there is none.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(dir) else { return Vec::new() };
    found.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
