//! A small disk that a test can fill up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Skip, Watchdog, data_dir};

/// What takes up all the room.
const FILLER: &str = "dlock-filler";

/// A file system in memory, of a few megabytes, which a test can fill up and free again.
///
/// It is unmounted when this is dropped, and also when the test process dies without dropping
/// anything.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    /// Unmounts it, when dropped as well; so it goes before the directory.
    _watchdog: Watchdog,
    /// The directory that it covers, unless that belongs to a server.
    _dir: Option<TempDir>,
}

impl SmallDisk {
    /// Whether a disk can be mounted here, which takes root.
    ///
    /// # Errors
    /// A [`Skip`] when not.
    ///
    /// # Panics
    /// When not, though `DLOCK_REQUIRE` names `mount`.
    pub fn available() -> Result<(), Skip> {
        match Self::new(1 << 20) {
            Ok(_) => Ok(()),
            Err(error) => Err(Skip::unless_required("mount", format!("no disk can be mounted: {error}"))),
        }
    }

    /// An empty disk with so much room, in whole pages; ask [`SmallDisk::available`] first.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let dir = data_dir::create("disk")?;
        Self::mount(dir.path().to_owned(), bytes, Some(dir))
    }

    /// One that covers a directory.
    pub(crate) fn over(dir: &Path, bytes: u64) -> io::Result<Self> {
        Self::mount(dir.to_owned(), bytes, None)
    }

    /// Its root directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it up, so that no write that needs room succeeds.
    ///
    /// # Panics
    /// When it cannot be written at all.
    pub fn fill(&self) {
        if let Err(error) = fill(&self.path.join(FILLER)) {
            panic!("the disk cannot be filled: {error}");
        }
    }

    /// Ends [`SmallDisk::fill`]; nothing happens where it is not full.
    pub fn free(&self) {
        let _ = fs::remove_file(self.path.join(FILLER));
    }

    fn mount(path: PathBuf, bytes: u64, dir: Option<TempDir>) -> io::Result<Self> {
        let disk = Self { _watchdog: Watchdog::start_unmounting(&path, dir.is_some())?, path, _dir: dir };
        let options = format!("size={bytes},mode=700");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "dlock-disk"]).arg(&disk.path).output()?;
        if mount.status.success() {
            return Ok(disk);
        }
        Err(io::Error::other(String::from_utf8_lossy(&mount.stderr).trim().to_owned()))
    }
}

/// Writes until there is no room, not even for a byte.
fn fill(path: &Path) -> io::Result<()> {
    let mut filler = File::create(path)?;
    let zeros = [0; 64 * 1024];
    let mut size = zeros.len();
    while size > 0 {
        match filler.write(&zeros[..size]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
