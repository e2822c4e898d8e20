//! Locks in a directory.

use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aimed, Deployment, Kind};
use dlock_testkit::stores;
use tempfile::TempDir;

use super::entries::Entries;

#[derive(Debug)]
pub(super) struct FileDeployment {
    url: String,
    entries: Entries,
    _dir: TempDir,
}

impl FileDeployment {
    pub(super) fn start() -> Self {
        let dir = TempDir::new().expect("there is a place for temporary files");
        let url = format!("file://{}", dir.path().display());
        let entries = Entries::of(stores::open(&url).expect("a url of a directory"));
        Self { url, entries, _dir: dir }
    }
}

#[async_trait]
impl Deployment for FileDeployment {
    fn store(&self) -> &str {
        "file"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn address(&self, _servers: &[SocketAddr]) -> String {
        self.url.clone()
    }

    fn client(&self) -> Box<dyn Connect> {
        self.entries.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        Entries::kinds().to_vec()
    }

    async fn begin(&self, fault: &Aimed) -> String {
        self.entries.begin(fault).await
    }

    async fn end(&self, fault: &Aimed) {
        self.entries.end(fault).await;
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.entries.count(namespace).await)
    }
}
