//! What the control file remembers: format, epoch and the counter that places and tokens are from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dlock_core::{ClaimId, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::error::classify;

/// The format of the whole directory: the control file's and that of claims' file names.
const FORMAT: u32 = 1;

/// How many numbers are reserved with one `fsync(2)`.
const BLOCK: u64 = 1 << 16;

/// Stands for the boot while a reservation is being synced. It is nobody's, so that whoever finds it
/// reserves anew.
const NOT_SYNCED: &str = "not synced";

/// The stored line has this length, so that it is always overwritten in place, within one page:
/// a killed process leaves the old line or the new one.
const LENGTH: usize = 256;

/// The content of the control file.
///
/// Tokens have to grow past two kinds of crash. A killed process loses nothing that it wrote: the
/// page cache is the kernel's. After a power loss the file may be any older version of itself back
/// to the last `fsync`; no lock survives that, but tokens must not repeat. So numbers are handed
/// out only below `reserved`, which is synced before, once per block, and the first to look in
/// another boot goes on from `reserved`. Where the system has no boot id, every number is synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    v: u32,
    /// Drawn when the file was made: a directory that was deleted and made again is a new history.
    pub(crate) epoch: u64,
    boot: Option<String>,
    next: u64,
    reserved: u64,
}

impl State {
    /// Reads the control file, or fills it when it is empty, which a crash right after its
    /// creation leaves.
    pub(crate) fn load(file: &File, path: &Path, boot: Option<&str>) -> Result<Self> {
        let mut bytes = [0; 2 * LENGTH];
        let length = read_at_most(file, &mut bytes).map_err(|error| classify(read(path), error))?;
        if length == 0 {
            let state = Self { v: FORMAT, epoch: random(), boot: boot.map(str::to_owned), next: 1, reserved: 1 };
            state.store(file, path)?;
            // The epoch is part of the token: it must not change back either.
            file.sync_all().map_err(|error| classify(write(path), error))?;
            return Ok(state);
        }
        let mut state = Self::parse(&bytes[..length], path)?;
        if state.boot.as_deref() != boot {
            state.next = state.next.max(state.reserved);
            state.reserved = state.next;
            state.boot = boot.map(str::to_owned);
        }
        Ok(state)
    }

    /// Hands out the next number that is at least `least`, remembered before it is used.
    pub(crate) fn mint(&mut self, least: u64, file: &File, path: &Path) -> Result<u64> {
        let number = self.next.max(least);
        let after = number.checked_add(1).ok_or_else(|| {
            Error::new(ErrorKind::Exhausted, format!("{}: the last token has been used", path.display()))
        })?;
        let mut changed = Self { next: after, ..self.clone() };
        if after > self.reserved {
            let block = if self.boot.is_some() { BLOCK } else { 0 };
            changed.reserved = after.saturating_add(block);
            // Nobody may rely on a reservation that is not on the disk yet, should this process be
            // killed before it is, or the disk refuse.
            let promised = Self { next: number, boot: Some(NOT_SYNCED.to_owned()), ..changed.clone() };
            promised.store(file, path)?;
            file.sync_data().map_err(|error| classify(write(path), error))?;
        }
        changed.store(file, path)?;
        *self = changed;
        Ok(number)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let damaged = |error| {
            let advice = "not a control file of dlock; make sure that no process uses the directory, then remove it";
            Error::new(ErrorKind::Damaged, format!("{} is {advice}", path.display())).with_source(error)
        };
        let Version { v } = serde_json::from_slice(bytes).map_err(damaged)?;
        if v != FORMAT {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "{} has format {v}, this dlock knows format {FORMAT}: use one release of dlock per directory",
                    path.display()
                ),
            ));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    fn store(&self, file: &File, path: &Path) -> Result<()> {
        let mut line = serde_json::to_string(self).expect("the state has only string keys");
        let padding = LENGTH - 1 - line.len();
        line.extend(std::iter::repeat_n(' ', padding));
        line.push('\n');
        file.write_all_at(line.as_bytes(), 0).map_err(|error| classify(write(path), error))
    }
}

/// Names this boot of the machine, where the system does.
pub(crate) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty() && id.len() <= 64).then(|| id.to_owned())
}

fn random() -> u64 {
    let id = ClaimId::random().to_string();
    u64::from_str_radix(&id[..16], 16).expect("a claim id is hexadecimal")
}

/// One read: a regular file answers short only at its end.
fn read_at_most(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answered => return answered,
        }
    }
}

fn read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn numbers_grow_over_reopening_and_over_a_lost_page_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let file = open(&path);
        let mut state = State::load(&file, &path, Some("boot-1")).unwrap();
        assert_eq!(state.mint(0, &file, &path).unwrap(), 1);
        let synced = std::fs::read(&path).unwrap();
        for expected in 2..100 {
            assert_eq!(state.mint(0, &file, &path).unwrap(), expected);
        }
        let mut again = State::load(&open(&path), &path, Some("boot-1")).unwrap();
        assert_eq!(again.epoch, state.epoch);
        assert_eq!(again.mint(0, &file, &path).unwrap(), 100);
        // What a power loss may leave: the file as it was when it was last synced.
        std::fs::write(&path, synced).unwrap();
        let mut rebooted = State::load(&file, &path, Some("boot-2")).unwrap();
        assert!(rebooted.mint(0, &file, &path).unwrap() > 100);
        assert_eq!(rebooted.epoch, state.epoch);
    }

    #[test]
    fn without_a_boot_id_every_number_is_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let file = open(&path);
        let mut state = State::load(&file, &path, None).unwrap();
        for expected in 1..10 {
            assert_eq!(state.mint(0, &file, &path).unwrap(), expected);
            assert_eq!(State::load(&file, &path, None).unwrap().reserved, expected + 1);
        }
    }

    #[test]
    fn a_reservation_that_was_not_seen_to_be_synced_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let file = open(&path);
        let mut state = State::load(&file, &path, Some("b")).unwrap();
        state.mint(0, &file, &path).unwrap();
        // What a process leaves that is killed, or refused by the disk, in the middle of it.
        let last = state.reserved;
        let killed = State { next: last, boot: Some(NOT_SYNCED.to_owned()), reserved: last + BLOCK, ..state.clone() };
        killed.store(&file, &path).unwrap();
        let mut next = State::load(&file, &path, Some("b")).unwrap();
        let number = next.mint(0, &file, &path).unwrap();
        assert!(number >= last + BLOCK, "within what may not be on the disk: {number}");
        assert!(next.reserved > number && next.boot.as_deref() == Some("b"));
        assert_eq!(State::load(&file, &path, Some("b")).unwrap(), next);
    }

    #[test]
    fn blocks_are_reserved_before_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let file = open(&path);
        let mut state = State::load(&file, &path, Some("b")).unwrap();
        for least in [0, BLOCK - 1, BLOCK, BLOCK * 3, u64::MAX - 1] {
            let number = state.mint(least, &file, &path).unwrap();
            assert!(number >= least && number < State::load(&file, &path, Some("b")).unwrap().reserved);
        }
        let error = state.mint(0, &file, &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    }

    #[test]
    fn other_formats_and_garbage_are_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        for (content, why) in [
            (&b"{\"v\":2,\"anything\":true}\n"[..], "has format 2, this dlock knows format 1"),
            (b"hello", "not a control file of dlock"),
            (&[0; 64], "not a control file of dlock"),
            (b"{\"v\":1}", "not a control file of dlock"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = State::load(&open(&path), &path, Some("b")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
