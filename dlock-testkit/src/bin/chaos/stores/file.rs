//! Locks in a directory.

use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aimed, Kind, Target};
use dlock_testkit::servers::SmallDisk;
use dlock_testkit::stores;
use tempfile::TempDir;

use super::FILL_DISK;
use super::entries::Entries;

/// How much the disk takes.
const DISK: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct FileTarget {
    url: String,
    entries: Entries,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// On a disk of its own, which can be filled.
    Disk(SmallDisk),
    /// Where no disk can be mounted.
    Dir(TempDir),
}

impl FileTarget {
    pub(super) fn start() -> Self {
        let place = match SmallDisk::available() {
            Ok(()) => Place::Disk(SmallDisk::new(DISK).expect("this machine mounts disks")),
            Err(_) => Place::Dir(TempDir::new().expect("there is a place for temporary files")),
        };
        let path = match &place {
            Place::Disk(disk) => disk.path(),
            Place::Dir(dir) => dir.path(),
        };
        let url = format!("file://{}/locks", path.display());
        let entries = Entries::of(stores::open(&url).expect("a url of a directory"));
        Self { url, entries, place }
    }
}

#[async_trait]
impl Target for FileTarget {
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
        let disk = matches!(self.place, Place::Disk(_)).then_some(FILL_DISK);
        disk.into_iter().chain(Entries::kinds()).collect()
    }

    async fn begin(&self, fault: &Aimed) -> String {
        match &self.place {
            Place::Disk(disk) if fault.kind == FILL_DISK => {
                disk.fill();
                "the directory".to_owned()
            }
            _ => self.entries.begin(fault).await,
        }
    }

    async fn end(&self, fault: &Aimed) {
        match &self.place {
            Place::Disk(disk) if fault.kind == FILL_DISK => disk.free(),
            _ => self.entries.end(fault).await,
        }
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.entries.count(namespace).await)
    }
}
