//! The queue of one name, as one look at its bucket shows it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dlock_core::{Admission, ClaimId, DamagedEntry, LockName, Mode, Result};

use crate::entry::Entry;
use crate::error::classify;
use crate::names;
use crate::standing::{Standing, describe, examine};

/// A bucket directory that once held very many claims stays large on some file systems, and slow
/// to read. It is made anew when it is found empty.
const BLOATED: u64 = 256 * 1024;

/// All files under one name, read inside the control lock.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    pub(crate) name: &'a LockName,
    encoded: String,
    bucket: PathBuf,
    /// In arrival order.
    pub(crate) entries: Vec<Entry>,
    /// Files under the name that dlock did not write.
    strays: Vec<PathBuf>,
}

/// Whether a claim may hold.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing that lives stands before it.
    Held(Remains),
    /// It waits until one of these is gone or granted.
    Wait(Vec<PathBuf>, Remains),
    /// A living claim before it uses the name otherwise.
    Mismatch(Mode),
    /// Something unreadable blocks the name.
    Damaged(DamagedEntry),
}

/// Dead claims that were come across.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    waiters: Vec<PathBuf>,
    holders: Vec<PathBuf>,
    /// One of them really held the name.
    pub(crate) vanished: bool,
}

impl<'a> Queue<'a> {
    /// Reads the queue of a name.
    pub(crate) fn read(dir: &Path, name: &'a LockName) -> Result<Self> {
        let encoded = names::encode(name.as_str());
        let bucket = bucket_path(dir, names::bucket(name));
        let mut queue = Self { name, encoded, bucket, entries: Vec::new(), strays: Vec::new() };
        let mut others = false;
        for found in read_dir(&queue.bucket)? {
            let found = found.map_err(|error| classify(cannot_read(&queue.bucket), error))?;
            let file_name = found.file_name();
            let rest = file_name.as_bytes().strip_prefix(queue.encoded.as_bytes());
            let Some(rest) = rest.and_then(|rest| rest.strip_prefix(b"~")) else {
                others = true;
                continue;
            };
            match std::str::from_utf8(rest).ok().and_then(Entry::parse) {
                Some(entry) => queue.entries.push(entry),
                None => queue.strays.push(found.path()),
            }
        }
        queue.entries.sort_unstable_by_key(|entry| (entry.place, entry.id));
        if queue.is_empty() && !others && fs::metadata(&queue.bucket).is_ok_and(|bucket| bucket.len() > BLOATED) {
            // Only ever inside the control lock, where files are made too.
            let _ = fs::remove_dir(&queue.bucket);
        }
        Ok(queue)
    }

    /// Makes the bucket's directory.
    pub(crate) fn make_bucket(&self) -> io::Result<()> {
        fs::create_dir_all(&self.bucket)
    }

    pub(crate) fn path_of(&self, entry: &Entry) -> PathBuf {
        self.bucket.join(entry.file_name(&self.encoded))
    }

    /// A path in the bucket that belongs to no name.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.bucket.join("~new")
    }

    pub(crate) fn find(&self, id: ClaimId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Takes note of what became of an entry.
    pub(crate) fn update(&mut self, entry: Entry) {
        if let Some(known) = self.entries.iter_mut().find(|known| known.id == entry.id) {
            *known = entry;
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.strays.is_empty()
    }

    /// The lowest place that is behind all others.
    pub(crate) fn end(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.place.saturating_add(1))
    }

    /// Judges a claim of `mode` that stands at `place`. `is_own` answers for claims of this
    /// process without a look at their locks.
    pub(crate) fn judge(&self, mode: Mode, place: u64, is_own: &dyn Fn(&Entry, &Path) -> bool) -> Result<Verdict> {
        for stray in &self.strays {
            if let Some(damage) = describe(stray, "not a claim of dlock")? {
                return Ok(Verdict::Damaged(damage));
            }
        }
        let before = &self.entries[..self.entries.partition_point(|entry| entry.place < place)];
        let mut remains = Remains::default();
        let room = match mode {
            Mode::Exclusive | Mode::Shared => 1,
            Mode::Permit { limit } => limit.get() as usize,
        };
        let mut blockers: Vec<(&Entry, PathBuf)> = Vec::new();
        for (at, entry) in before.iter().enumerate().rev() {
            let combines = mode.combines_with(entry.mode);
            // The oldest are looked at by everybody, so that the remains of dead claims that
            // stand in nobody's way do not pile up.
            let full = blockers.len() >= room;
            if combines && at >= 2 && (full || !mode.conflicts_with(entry.mode)) {
                continue;
            }
            let path = self.path_of(entry);
            if !is_own(entry, &path) {
                match examine(&path, entry, self.name)? {
                    Standing::Live(_) => {}
                    Standing::Gone => continue,
                    Standing::Damaged(damage) => return Ok(Verdict::Damaged(damage)),
                    Standing::Dead { held } => {
                        remains.add(path, entry, held);
                        continue;
                    }
                }
            }
            if !combines {
                return Ok(Verdict::Mismatch(entry.mode));
            }
            if mode.conflicts_with(entry.mode) && !full {
                blockers.push((entry, path));
            }
        }
        match mode.admission(blockers.iter().map(|(entry, _)| entry.mode)) {
            Admission::Held => Ok(Verdict::Held(remains)),
            Admission::Mismatch(other) => Ok(Verdict::Mismatch(other)),
            Admission::Wait => Ok(Verdict::Wait(to_watch(blockers), remains)),
        }
    }

    /// All damage under the name that no claim's lock hides.
    pub(crate) fn strays(&self) -> Result<Vec<DamagedEntry>> {
        let mut damaged = Vec::new();
        for stray in &self.strays {
            damaged.extend(describe(stray, "not a claim of dlock")?);
        }
        Ok(damaged)
    }

    /// Where an entry of this name with that file name stands.
    pub(crate) fn locate(&self, file_name: &str) -> Option<PathBuf> {
        let path = self.bucket.join(file_name);
        let known =
            self.strays.contains(&path) || self.entries.iter().any(|entry| entry.file_name(&self.encoded) == file_name);
        known.then_some(path)
    }
}

impl Remains {
    fn add(&mut self, path: PathBuf, entry: &Entry, held: bool) {
        if entry.is_held() {
            self.holders.push(path);
            self.vanished |= held;
        } else {
            self.waiters.push(path);
        }
    }

    /// Removes dead waiters. A dead holder's file stays until the next grant has told of it.
    pub(crate) fn sweep_waiters(&self) {
        self.waiters.iter().for_each(|path| remove(path));
    }

    /// Removes all.
    pub(crate) fn sweep(&self) {
        self.sweep_waiters();
        self.holders.iter().for_each(|path| remove(path));
    }
}

/// One release should wake one waiter. An exclusive or shared claim waits for the nearest claim in
/// its way, and looks again when that is gone. Permits: only the first waiter watches the holders,
/// each of the others the waiter before it, which is granted or goes before it can be its turn.
fn to_watch(blockers: Vec<(&Entry, PathBuf)>) -> Vec<PathBuf> {
    let nearest_waiter = blockers.iter().position(|(entry, _)| !entry.is_held());
    match nearest_waiter {
        Some(at) => blockers.into_iter().nth(at).map(|(_, path)| path).into_iter().collect(),
        None => blockers.into_iter().map(|(_, path)| path).collect(),
    }
}

/// The directory of a bucket.
pub(crate) fn bucket_path(dir: &Path, bucket: u8) -> PathBuf {
    dir.join(format!("{bucket:02x}"))
}

/// The files of a bucket, none when it does not exist.
pub(crate) fn read_dir(bucket: &Path) -> Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(bucket) {
        Ok(found) => Ok(Some(found).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(classify(cannot_read(bucket), error)),
    }
}

pub(crate) fn cannot_read(bucket: &Path) -> String {
    format!("cannot read {}", bucket.display())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the file of a dead claim could not be removed");
        }
        _ => {}
    }
}
