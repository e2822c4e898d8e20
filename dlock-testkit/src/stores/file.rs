//! Files.

mod alone;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, Clock, Connect, ConnectContext, Error, ErrorKind, LockName, Metadata, Mode, Namespace, Queue,
    Result,
};
use dlock_file::FileConfig;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tempfile::TempDir;

use super::invalid;
use crate::{Starting, Subject, Tamper, Trouble};

/// What stands for itself in the path of a file URL.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A directory.
#[derive(Clone, Debug)]
pub struct FileSubject {
    dir: PathBuf,
    /// Removed with the last clone.
    temporary: Option<Arc<TempDir>>,
}

impl FileSubject {
    /// The directory of `file:///directory`.
    ///
    /// # Errors
    /// `InvalidInput` when the URL is not of this form.
    pub fn from_url(url: &str) -> Result<Self> {
        let place = url.strip_prefix("file:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        let path =
            place.map(|rest| rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest));
        let path = path
            .filter(|path| path.starts_with('/'))
            .ok_or_else(|| invalid("a file url names a directory from its root: file:///var/lib/my-app/locks"))?;
        let path = percent_decode_str(path).decode_utf8();
        let path = path.map_err(|_| invalid("the directory in the file url is not utf-8"))?;
        Ok(Self { dir: PathBuf::from(path.into_owned()), temporary: None })
    }

    /// A new directory, removed when the suite is done.
    ///
    /// # Panics
    /// When none can be made.
    #[must_use]
    pub fn temporary() -> Self {
        let temporary = TempDir::new().expect("a test has a place for temporary files");
        Self { dir: temporary.path().to_owned(), temporary: Some(Arc::new(temporary)) }
    }

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

#[async_trait]
impl Subject for FileSubject {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(FileConfig::new(&self.dir))
    }

    fn address(&self) -> Option<String> {
        Some(format!("file://{}", utf8_percent_encode(self.dir.to_str()?, IN_URL)))
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }

    fn alone(&self, trouble: Trouble) -> Option<Starting> {
        self.temporary.as_ref().and_then(|_| alone::alone(trouble))
    }

    async fn wipe(&self, prefix: &str) -> Result<()> {
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(prefix))
        };
        let mut wiped = Ok(());
        for namespace in entries(&self.dir).into_iter().filter(is_ours) {
            if let Err(error) = fs::remove_dir_all(&namespace) {
                let message = format!("cannot remove {}: {error}", namespace.display());
                wiped = Err(Error::new(ErrorKind::Unavailable, message));
            }
        }
        wiped
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_leads_back_to_the_directory() {
        let dir = "/tmp/a b/ü?#%41";
        let subject = FileSubject { dir: dir.into(), temporary: None };
        let address = subject.address().unwrap();
        assert_eq!(FileSubject::from_url(&address).unwrap().dir, Path::new(dir));
        for url in ["file:///x", "file:/x", "file://localhost/x"] {
            assert_eq!(FileSubject::from_url(url).unwrap().dir, Path::new("/x"), "{url}");
        }
        for url in ["file:x", "file://host/x", "file:", "redis://h"] {
            assert!(FileSubject::from_url(url).is_err(), "{url}");
        }
    }
}
