//! Looking at queues, and clearing what is damaged.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use dlock_core::{
    Claim, ClaimInfo, DamagedEntry, Error, ErrorKind, LockName, LockState, NamePage, NamePrefix, Page, Result, Token,
    Withdrawn,
};

use crate::control::Section;
use crate::entry::{Entry, EntryPhase};
use crate::error::classify;
use crate::names;
use crate::queue::{Queue, bucket_path, cannot_read, read_dir};
use crate::room::Room;
use crate::standing::{Standing, describe, examine};

impl Room {
    /// Who holds a name and who waits.
    pub(crate) async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.enter(|section| self.inspect_inside(section, name)).await
    }

    fn inspect_inside(&self, section: &mut Section<'_>, name: &LockName) -> Result<LockState> {
        let queue = Queue::read(&self.dir, name)?;
        let mut state = LockState::free(name.clone());
        state.damaged = queue.strays()?;
        for entry in &queue.entries {
            match examine(&queue.path_of(entry), entry, name)? {
                Standing::Live(claim) => match entry.phase {
                    EntryPhase::Waiting => state.waiters.push(shown(entry, *claim, None)),
                    EntryPhase::Held(value) => {
                        let token = Token { epoch: section.epoch(), value };
                        state.holders.push(shown(entry, *claim, Some(token)));
                    }
                },
                Standing::Dead { .. } | Standing::Gone => {}
                Standing::Damaged(damage) => state.damaged.push(damage),
            }
        }
        Ok(state)
    }

    /// The names in use, bucket by bucket.
    pub(crate) async fn list(&self, prefix: &NamePrefix, page: &Page) -> Result<NamePage> {
        let start = match &page.cursor {
            None => Cursor { bucket: 0, after: None },
            Some(text) => Cursor::parse(text)?,
        };
        let mut names = Vec::new();
        for bucket in start.bucket..=u8::MAX {
            let after = start.after.as_ref().filter(|_| bucket == start.bucket);
            let room = page.limit.max(1) - names.len();
            // One bucket at a time, so that nobody waits for a long listing.
            let (found, last) = self.enter(|_| self.list_bucket(bucket, prefix, after, room)).await?;
            names.extend(found);
            if last.is_some() {
                return Ok(NamePage { names, cursor: Some(Cursor { bucket, after: last }.to_text()) });
            }
            tokio::task::yield_now().await;
        }
        Ok(NamePage { names, cursor: None })
    }

    /// The names in use in one bucket, at most `limit`; and the last one, when there may be more.
    fn list_bucket(
        &self,
        bucket: u8,
        prefix: &NamePrefix,
        after: Option<&LockName>,
        limit: usize,
    ) -> Result<(Vec<LockName>, Option<LockName>)> {
        let mut names = Vec::new();
        for name in self.names_in(bucket)? {
            if after.is_some_and(|after| name.as_str() <= after.as_str()) || !prefix.covers(&name) {
                continue;
            }
            if self.is_in_use(&name)? {
                names.push(name.clone());
            }
            if names.len() >= limit {
                return Ok((names, Some(name)));
            }
        }
        Ok((names, None))
    }

    /// The names that have files in a bucket, sorted.
    fn names_in(&self, bucket: u8) -> Result<BTreeSet<LockName>> {
        let path = bucket_path(&self.dir, bucket);
        let mut names = BTreeSet::new();
        let mut last = String::new();
        for found in read_dir(&path)? {
            let found = found.map_err(|error| classify(cannot_read(&path), error))?;
            let file_name = found.file_name();
            let Some((encoded, _)) = file_name.to_str().and_then(|text| text.split_once('~')) else { continue };
            if names::is_hashed(encoded) {
                // Only the record tells the name; without one it is nobody's.
                let record = fs::read(found.path()).ok().and_then(|content| Claim::from_record(&content).ok());
                names.extend(record.map(|claim| claim.name));
            } else if encoded != last {
                names.extend(names::decode(encoded).filter(|name| names::bucket(name) == bucket));
                encoded.clone_into(&mut last);
            }
        }
        Ok(names)
    }

    fn is_in_use(&self, name: &LockName) -> Result<bool> {
        let queue = Queue::read(&self.dir, name)?;
        if !queue.strays()?.is_empty() {
            return Ok(true);
        }
        for entry in &queue.entries {
            if let Standing::Live(_) | Standing::Damaged(_) = examine(&queue.path_of(entry), entry, name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes something damaged, if it still is as it was seen.
    pub(crate) async fn clear_damage(&self, name: &LockName, seen: &DamagedEntry) -> Result<Withdrawn> {
        let cleared = self.enter(|_| self.clear_inside(name, seen)).await?;
        // It may have blocked claims of ours that found nothing to watch.
        self.wake_own_waiters(name);
        Ok(cleared)
    }

    fn clear_inside(&self, name: &LockName, seen: &DamagedEntry) -> Result<Withdrawn> {
        let queue = Queue::read(&self.dir, name)?;
        let Some(path) = queue.locate(&seen.key) else { return Ok(Withdrawn::Absent) };
        let Some(now) = describe(&path, &seen.problem)? else { return Ok(Withdrawn::Absent) };
        if now.fingerprint != seen.fingerprint {
            return Ok(Withdrawn::Absent);
        }
        let is_dir = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let removed = if is_dir { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        match removed {
            Ok(()) => Ok(Withdrawn::Removed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Withdrawn::Absent),
            Err(error) => Err(classify(format_args!("cannot remove {}", path.display()), error)),
        }
    }
}

/// Where a listing goes on: in this bucket, after this name.
struct Cursor {
    bucket: u8,
    after: Option<LockName>,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self> {
        let parsed = text.split_once(' ').and_then(|(bucket, after)| {
            Some(Self { bucket: u8::from_str_radix(bucket, 16).ok()?, after: Some(after.parse().ok()?) })
        });
        parsed.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("{text:?} is not a cursor of a listing")))
    }

    fn to_text(&self) -> String {
        format!("{:02x} {}", self.bucket, self.after.as_ref().map_or("", LockName::as_str))
    }
}

fn shown(entry: &Entry, claim: Claim, token: Option<Token>) -> ClaimInfo {
    let mut reference = claim.to_ref();
    reference.mode = entry.mode;
    ClaimInfo { claim: reference, metadata: claim.metadata, token, expires_in: None }
}
