//! A lock directory of a case's own, which can be made to refuse.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use rustix::process::geteuid;

use super::{FileSubject, entries};
use crate::servers::SmallDisk;
use crate::{Deployment, Refusal, Starting, Subject, Trouble};

const ROOM: u64 = 4 << 20;

#[derive(Debug)]
struct FullDisk {
    disk: SmallDisk,
    subject: Arc<FileSubject>,
}

/// Its owner may not make or remove files in it.
#[derive(Debug)]
struct ForbiddenDirectory {
    subject: Arc<FileSubject>,
}

/// A directory that can refuse in this way, if there can be one here.
pub(super) fn alone(trouble: Trouble) -> Option<Starting> {
    match trouble {
        Trouble::Refusal(Refusal::Full) if can_mount() => Some(Box::pin(async {
            let disk = SmallDisk::new(ROOM).expect("one could be mounted before");
            let subject = Arc::new(FileSubject { dir: disk.path().to_owned(), temporary: None });
            Box::new(FullDisk { disk, subject }) as Box<dyn Deployment>
        })),
        // Permissions are nothing to root.
        Trouble::Refusal(Refusal::Permission) if !geteuid().is_root() => Some(Box::pin(async {
            Box::new(ForbiddenDirectory { subject: Arc::new(FileSubject::temporary()) }) as Box<dyn Deployment>
        })),
        _ => None,
    }
}

#[async_trait]
impl Deployment for FullDisk {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        self.disk.fill();
    }

    async fn end(&self) {
        self.disk.free();
    }
}

#[async_trait]
impl Deployment for ForbiddenDirectory {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        set_mode(&self.subject.dir, 0o500);
    }

    async fn end(&self) {
        set_mode(&self.subject.dir, 0o700);
    }
}

impl Drop for ForbiddenDirectory {
    /// So that it can be removed.
    fn drop(&mut self) {
        set_mode(&self.subject.dir, 0o700);
    }
}

/// Tried once.
fn can_mount() -> bool {
    static CAN_MOUNT: OnceLock<bool> = OnceLock::new();
    *CAN_MOUNT.get_or_init(|| SmallDisk::new(ROOM).is_ok())
}

/// Sets the mode of a directory and of all directories in it; one that is gone meanwhile is left out.
fn set_mode(dir: &Path, mode: u32) {
    let _ = fs::set_permissions(dir, Permissions::from_mode(mode));
    entries(dir).iter().filter(|path| path.is_dir()).for_each(|inner| set_mode(inner, mode));
}
