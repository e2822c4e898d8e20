//! A claim leaves its queue, or steps down.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use dlock_core::{ClaimId, ClaimRef, Error, ErrorKind, Gone, Grant, Mode, Result, Why, Withdrawn};

use crate::claims::{Own, OwnPhase};
use crate::control::unlock;
use crate::entry::Entry;
use crate::error::classify;
use crate::queue::Queue;
use crate::room::{Room, lock};
use crate::standing::{BROKEN, Standing, examine};

impl Room {
    /// Removes a claim, ours or another process's.
    pub(crate) async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let own = lock(&self.claims).remove(&claim.id);
        if let Some(own) = own {
            return Ok(self.withdraw_own(claim.id, &own));
        }
        self.enter(|_| self.withdraw_foreign(claim, why)).await
    }

    /// Unlinking needs no control lock: whoever reads the queue then finds the claim or does not.
    fn withdraw_own(&self, id: ClaimId, own: &Own) -> Withdrawn {
        self.stop_watching(id);
        // A file that somebody replaced or overwrote is not ours to remove.
        let withdrawn = if own.check(id).is_some() {
            Withdrawn::Absent
        } else {
            if let Err(error) = fs::remove_file(&own.path) {
                // The lock is let go below, so that the claim ends all the same: the next one
                // takes it for that of a dead process.
                tracing::warn!(path = %own.path.display(), %error, "the file of a released claim could not be removed");
            }
            Withdrawn::Removed
        };
        // Not by closing: a child may have inherited the description.
        unlock(&own.file);
        if !self.watcher.pushes() {
            self.wake_own_waiters(&own.name);
        }
        withdrawn
    }

    fn withdraw_foreign(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let queue = Queue::read(&self.dir, &claim.name)?;
        let Some(entry) = queue.find(claim.id) else { return Ok(Withdrawn::Absent) };
        let path = queue.path_of(entry);
        match examine(&path, entry, &claim.name)? {
            Standing::Live(_) => {}
            // What cannot be read is nobody's claim: only `clear_damage` removes it.
            Standing::Dead { .. } | Standing::Gone | Standing::Damaged(_) => return Ok(Withdrawn::Absent),
        }
        let what = || format!("cannot remove the claim {}", path.display());
        if why == Why::Break && entry.is_held() && self.somebody_waits_behind(&queue, entry)? {
            match leave_trace(&queue.scratch(), &path) {
                Ok(()) => return Ok(Withdrawn::Removed),
                Err(error) => tracing::warn!(%error, "the next holder will not learn that this claim was broken"),
            }
        }
        match fs::remove_file(&path) {
            Ok(()) => Ok(Withdrawn::Removed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Withdrawn::Absent),
            Err(error) => Err(classify(what(), error)),
        }
    }

    fn somebody_waits_behind(&self, queue: &Queue<'_>, entry: &Entry) -> Result<bool> {
        for behind in queue.entries.iter().filter(|other| other.place > entry.place && !other.is_held()) {
            let path = queue.path_of(behind);
            if self.is_own(queue.name, behind, &path)
                || matches!(examine(&path, behind, queue.name)?, Standing::Live(_))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes an exclusive claim of ours shared.
    pub(crate) async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        self.enter(|_| self.convert_inside(claim, to)).await
    }

    fn convert_inside(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        if let Some(gone) = self.check(claim.id) {
            self.lose(claim.id, gone);
        }
        let mut claims = lock(&self.claims);
        let Some(own) = claims.get_mut(&claim.id) else { return Err(not_held(claim)) };
        let OwnPhase::Held(grant) = own.phase else { return Err(not_held(claim)) };
        if own.mode == to {
            return Ok(grant);
        }
        if (own.mode, to) != (Mode::Exclusive, Mode::Shared) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the file backend does not change {} to {to}: release and acquire again", own.mode),
            ));
        }
        let queue = Queue::read(&self.dir, &own.name)?;
        let phase = crate::entry::EntryPhase::Held(grant.token.value);
        let path = queue.path_of(&Entry { place: own.place, phase, mode: to, id: claim.id });
        fs::rename(&own.path, &path)
            .map_err(|error| classify(format_args!("cannot change the mode of {}", own.path.display()), error))?;
        own.path = path;
        own.mode = to;
        // Those who wait for it watch its attributes.
        if let Err(error) = own.file.set_modified(SystemTime::now()) {
            tracing::warn!(%error, "waiting readers were not woken; they look again by themselves");
        }
        let name = own.name.clone();
        drop(claims);
        if !self.watcher.pushes() {
            self.wake_own_waiters(&name);
        }
        Ok(grant)
    }

    /// A copy of the description that a claim lives by.
    pub(crate) fn lifeline(&self, claim: &ClaimRef) -> Result<std::os::fd::OwnedFd> {
        if let Some(gone) = self.check(claim.id) {
            return Err(lost(claim, gone));
        }
        match lock(&self.claims).get(&claim.id) {
            Some(own) if !own.is_waiting() => {
                let copy = own.file.try_clone();
                copy.map(Into::into).map_err(|error| classify("cannot copy the claim's descriptor", error))
            }
            _ => Err(not_held(claim)),
        }
    }
}

/// Puts a trace where a broken holder's claim stood, in one step.
fn leave_trace(scratch: &Path, path: &Path) -> io::Result<()> {
    // A process that was killed in here left one; anything else there is not ours to write through.
    match fs::remove_file(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = File::create_new(scratch).and_then(|mut file| io::Write::write_all(&mut file, BROKEN));
    written.and_then(|()| fs::rename(scratch, path)).inspect_err(|_| fs::remove_file(scratch).unwrap_or_default())
}

fn not_held(claim: &ClaimRef) -> Error {
    Error::new(ErrorKind::Lost, format!("this process does not hold {:?} with that claim", claim.name.as_str()))
}

fn lost(claim: &ClaimRef, gone: Gone) -> Error {
    let how = if gone == Gone::Altered { "overwritten" } else { "removed" };
    Error::new(ErrorKind::Lost, format!("the claim on {:?} was {how} by somebody else", claim.name.as_str()))
}
