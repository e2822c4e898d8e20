//! Looking at one claim file of somebody: alive, dead or damaged.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use dlock_core::{Claim, DamagedEntry, LockName, Result};
use rustix::io::Errno;

use crate::control::{FileId, careful};
use crate::entry::Entry;
use crate::error::classify;
use crate::names;

/// What stands in the place of a holder that was broken while others waited, so that the next one
/// learns that it did not release. Nobody locks it, so that it counts as a dead holder.
pub(crate) const BROKEN: &[u8] = b"broken\n";

/// More than any record has.
const LONGEST: u64 = 64 * 1024;

/// What a claim file turned out to be.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Its process lives.
    Live(Box<Claim>),
    /// Its process is gone.
    Dead {
        /// It held its name.
        held: bool,
    },
    /// There is no such file any more.
    Gone,
    /// Nobody can tell.
    Damaged(DamagedEntry),
}

/// Looks at a claim file. To be called inside the control lock, where no claim is half made.
pub(crate) fn examine(path: &Path, entry: &Entry, name: &LockName) -> Result<Standing> {
    let what = || format!("cannot look at the claim {}", path.display());
    // Read-only: a description opened for writing would wake those who wait for the claim's end.
    let mut file = match File::options().read(true).custom_flags(careful()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Gone),
        Err(error) if is_no_file(&error) => return damaged(path, "not a regular file"),
        Err(error) => return Err(classify(what(), error)),
    };
    let metadata = file.metadata().map_err(|error| classify(what(), error))?;
    if !metadata.is_file() {
        return damaged(path, "not a regular file");
    }
    let mut content = Vec::with_capacity(512);
    file.by_ref().take(LONGEST).read_to_end(&mut content).map_err(|error| classify(what(), error))?;
    let alive = is_locked(&file).map_err(|error| classify(what(), error))?;
    // A release unlinks before it unlocks. One that came since the file was opened is a release,
    // and no death.
    if !alive && file.metadata().map_err(|error| classify(what(), error))?.nlink() == 0 {
        return Ok(Standing::Gone);
    }
    // Empty: killed between making the file and writing it, or lost with the power.
    if !alive && content.iter().all(|byte| *byte == 0) {
        return Ok(Standing::Dead { held: false });
    }
    if !alive && content == BROKEN {
        return Ok(Standing::Dead { held: true });
    }
    match Claim::from_record(&content) {
        Err(error) => damaged(path, &error.to_string()),
        Ok(claim) if claim.id != entry.id => damaged(path, "the record of another claim"),
        Ok(claim) if claim.name != *name => {
            // Two long names with one hash have nothing to do with each other.
            if names::is_hashed(&names::encode(name.as_str())) {
                return Ok(Standing::Gone);
            }
            damaged(path, "the record of a claim on another name")
        }
        Ok(claim) if alive => Ok(Standing::Live(Box::new(claim))),
        Ok(_) => Ok(Standing::Dead { held: entry.is_held() }),
    }
}

/// Whether somebody lives who holds the claim file at `path`. Needs no control lock when the claim
/// was seen alive before: a claim is locked once, when it is made.
pub(crate) fn still_lives(path: &Path) -> bool {
    match File::options().read(true).custom_flags(careful()).open(path) {
        Ok(file) => is_locked(&file).unwrap_or(true),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_no_file(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::LOOP | Errno::NXIO | Errno::MLINK))
}

fn damaged(path: &Path, problem: &str) -> Result<Standing> {
    Ok(describe(path, problem)?.map_or(Standing::Gone, Standing::Damaged))
}

/// Describes what stands at `path` so that it is recognised again; `None` when nothing does.
pub(crate) fn describe(path: &Path, problem: &str) -> Result<Option<DamagedEntry>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(classify(format_args!("cannot look at {}", path.display()), error)),
    };
    let kind = metadata.file_type();
    let mut content = Vec::new();
    if kind.is_file() {
        let opened = File::options().read(true).custom_flags(careful()).open(path);
        if let Ok(file) = opened {
            // What cannot be read is described by the rest.
            let _ = file.take(LONGEST).read_to_end(&mut content);
        }
    }
    let letter = match () {
        () if kind.is_file() => 'f',
        () if kind.is_dir() => 'd',
        () if kind.is_fifo() => 'p',
        () => 'o',
    };
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(DamagedEntry {
        key: file_name,
        problem: problem.to_owned(),
        fingerprint: format!("{letter}-{:?}-{}-{:032x}", FileId::of(&metadata), metadata.len(), names::fnv(&content)),
    }))
}
