//! Where a server keeps its data.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;
use tempfile::TempDir;

/// What a server may fill: etcd allocates its write-ahead log in pieces of 64 MB.
const ROOM: u64 = 1 << 30;

/// A new directory, in memory where there is room: servers sync to disk at every write.
pub(crate) fn create(kind: &str) -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let prefix = format!("dlock-{kind}-");
    builder.prefix(&prefix);
    if has_room(memory)
        && let Ok(dir) = builder.tempdir_in(memory)
    {
        return Ok(dir);
    }
    builder.tempdir()
}

fn has_room(path: &Path) -> bool {
    statvfs(path).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= ROOM)
}
