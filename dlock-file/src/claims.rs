//! The claims of this process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dlock_core::{Claim, ClaimId, Gone, Grant, LockName, Mode};

use crate::control::FileId;
use crate::entry::{Entry, EntryPhase};

/// Every claim that this backend made and that is not gone.
pub(crate) type Claims = HashMap<ClaimId, Own>;

/// A claim of this process. Dropping it closes the description, and with its last copy ends the
/// claim's life.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) name: LockName,
    pub(crate) mode: Mode,
    pub(crate) place: u64,
    pub(crate) file: File,
    pub(crate) file_id: FileId,
    pub(crate) path: PathBuf,
    pub(crate) phase: OwnPhase,
}

/// How far a claim of this process has come.
#[derive(Debug)]
pub(crate) enum OwnPhase {
    /// It waits for one of these claim files to go, or to be granted.
    Waiting(Vec<PathBuf>),
    Held(Grant),
}

impl Own {
    pub(crate) fn grant(&self) -> Option<Grant> {
        match self.phase {
            OwnPhase::Held(grant) => Some(grant),
            OwnPhase::Waiting(_) => None,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.phase, OwnPhase::Waiting(_))
    }

    /// The claim as its file name should say.
    pub(crate) fn entry(&self, id: ClaimId, phase: EntryPhase) -> Entry {
        Entry { place: self.place, phase, mode: self.mode, id }
    }

    /// Whether the file at `path` is this claim's own.
    pub(crate) fn stands_at(&self, path: &Path) -> bool {
        FileId::of_path(path).is_ok_and(|found| found == Some(self.file_id))
    }

    /// What happened to the claim's file behind our back. An unreadable directory is no proof of
    /// anything: the lock is still ours.
    pub(crate) fn check(&self, id: ClaimId) -> Option<Gone> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if FileId::of(&metadata) != self.file_id => return Some(Gone::Absent),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Gone::Absent),
            Err(_) => return None,
        }
        let mut content = [0; 8 * 1024];
        let length = self.file.read_at(&mut content, 0).ok()?;
        match Claim::from_record(&content[..length]) {
            Ok(claim) if claim.id == id && claim.name == self.name => None,
            _ => Some(Gone::Altered),
        }
    }
}
