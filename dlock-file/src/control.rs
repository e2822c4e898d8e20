//! The control lock, under which every change of a queue is made.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dlock_core::{Error, ErrorKind, Result};
use rustix::fs::OFlags;

use crate::error::classify;
use crate::state::{State, boot_id};

/// The control file of one namespace.
///
/// Its lock is held for a few system calls at a time, never over an `await`. A process that is
/// killed in there lets go of it; one that is stopped in there stops the others, which give up
/// after their request timeout.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    boot: Option<String>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// A stay inside the control lock. Dropping it leaves.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    file: &'a File,
    id: FileId,
    path: &'a Path,
    state: State,
}

impl Control {
    /// The control file of the namespace whose directory this is.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join("control"), boot: boot_id(), open: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the control lock if nobody has it.
    pub(crate) fn try_enter(&mut self) -> Result<Option<Section<'_>>> {
        // Somebody may delete the directory under us: then the lock that we got is on a file that
        // nobody else will find. It counts only if the path still leads to it.
        for _ in 0..32 {
            let open = match self.open.take() {
                Some(open) => open,
                None => open_control(&self.path)?,
            };
            match open.file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    self.open = Some(open);
                    return Ok(None);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(classify(format_args!("cannot lock {}", self.path.display()), error));
                }
            }
            if FileId::of_path(&self.path).ok().flatten() == Some(open.id) {
                let open = self.open.insert(open);
                // From here on, leaving is the section's business, also when loading fails.
                let unlock = Unlock(&open.file);
                let state = State::load(&open.file, &self.path, self.boot.as_deref())?;
                std::mem::forget(unlock);
                return Ok(Some(Section { file: &open.file, id: open.id, path: &self.path, state }));
            }
        }
        let path = self.path.display();
        Err(Error::new(ErrorKind::Unavailable, format!("{path} is replaced over and over: leave it in its place")))
    }
}

impl Section<'_> {
    /// The epoch of tokens.
    pub(crate) fn epoch(&self) -> u64 {
        self.state.epoch
    }

    /// Whether the path still leads to the control file that is locked: whether nobody else can be
    /// inside by one of his own.
    pub(crate) fn is_valid(&self) -> bool {
        FileId::of_path(self.path).ok().flatten() == Some(self.id)
    }

    /// The next number, for a place in a queue or a token: at least `least`.
    pub(crate) fn mint(&mut self, least: u64) -> Result<u64> {
        self.state.mint(least, self.file, self.path)
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        unlock(self.file);
    }
}

impl FileId {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// What stands at `path`, links not followed; `None` when nothing does.
    pub(crate) fn of_path(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Flags for files that others could have put there: no symbolic links, and no waiting for the
/// other end of a pipe.
pub(crate) fn careful() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

/// Lets go of a lock by name, not by closing: a child may have inherited the description.
pub(crate) fn unlock(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::warn!(%error, "a file lock could not be let go; it ends when the file is closed");
    }
}

struct Unlock<'a>(&'a File);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        unlock(self.0);
    }
}

fn open_control(path: &Path) -> Result<Open> {
    let what = || format!("cannot open {}", path.display());
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).custom_flags(careful());
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().expect("the control file stands in a directory");
            fs::create_dir_all(parent).and_then(|()| options.open(path)).map_err(|error| classify(what(), error))?
        }
        opened => opened.map_err(|error| classify(what(), error))?,
    };
    let metadata = file.metadata().map_err(|error| classify(what(), error))?;
    if !metadata.is_file() {
        let path = path.display();
        return Err(Error::new(ErrorKind::InvalidInput, format!("{path} is not a file: choose another directory")));
    }
    Ok(Open { file, id: FileId::of(&metadata) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (Control::new(dir.path()), Control::new(dir.path()));
        let mut section = one.try_enter().unwrap().unwrap();
        assert!(two.try_enter().unwrap().is_none());
        assert_eq!(section.mint(0).unwrap(), 1);
        drop(section);
        assert_eq!(two.try_enter().unwrap().unwrap().mint(0).unwrap(), 2);
    }

    #[test]
    fn a_lock_on_a_file_that_was_replaced_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("ns");
        fs::create_dir(&own).unwrap();
        let (mut one, mut two) = (Control::new(&own), Control::new(&own));
        let old = one.try_enter().unwrap().unwrap().epoch();
        {
            let section = one.try_enter().unwrap().unwrap();
            assert!(section.is_valid());
            fs::remove_dir_all(&own).unwrap();
            assert!(!section.is_valid());
        }
        let section = two.try_enter().unwrap().unwrap();
        assert_ne!(section.epoch(), old, "a directory made again is a new history");
        assert!(one.try_enter().unwrap().is_none(), "the old description is not believed");
    }

    #[test]
    fn a_directory_or_a_pipe_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("control")).unwrap();
        let error = Control::new(dir.path()).try_enter().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}
