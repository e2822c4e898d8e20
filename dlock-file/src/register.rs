//! A claim takes its place in a queue.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dlock_core::{
    Claim, DamagedEntry, Error, ErrorKind, Grant, LockName, Mode, Queue as Wish, Requested, Result, Token,
};

use crate::claims::{Own, OwnPhase};
use crate::control::{FileId, Section};
use crate::entry::{Entry, EntryPhase};
use crate::error::classify;
use crate::queue::{Queue, Verdict};
use crate::room::{Room, lock};

impl Room {
    /// Registers the claim, or answers for it as it stands.
    pub(crate) async fn register(&self, claim: &Claim, wish: Wish) -> Result<Requested> {
        if let Some(answer) = self.answer(claim.id) {
            return Ok(answer);
        }
        self.enter(|section| self.register_inside(section, claim, wish)).await
    }

    fn register_inside(&self, section: &mut Section<'_>, claim: &Claim, wish: Wish) -> Result<Requested> {
        let queue = Queue::read(&self.dir, &claim.name)?;
        match queue.judge(claim.mode, u64::MAX, &|entry, path| self.is_own(&claim.name, entry, path))? {
            Verdict::Mismatch(other) => Err(mismatch(&claim.name, claim.mode, other)),
            Verdict::Damaged(damage) => Err(blocked(&claim.name, &damage)),
            Verdict::Held(remains) => {
                // The place of a claim that is granted at once is its token as well.
                let token = section.mint(queue.end())?;
                let predecessor = remains.vanished.then_some(dlock_core::Predecessor::Vanished);
                let grant = Grant { token: Token { epoch: section.epoch(), value: token }, predecessor };
                self.make(section, &queue, claim, token, OwnPhase::Held(grant))?;
                remains.sweep();
                Ok(Requested::Held(grant, self.life()))
            }
            Verdict::Wait(_, remains) if wish == Wish::No => {
                remains.sweep_waiters();
                Ok(Requested::Refused)
            }
            Verdict::Wait(blockers, remains) => {
                remains.sweep_waiters();
                let place = section.mint(queue.end())?;
                self.make(section, &queue, claim, place, OwnPhase::Waiting(blockers.clone()))?;
                self.watch_blockers(claim.id, &blockers);
                Ok(Requested::Queued(self.life()))
            }
        }
    }

    fn make(&self, section: &Section<'_>, queue: &Queue<'_>, claim: &Claim, place: u64, phase: OwnPhase) -> Result<()> {
        let entry_phase = match phase {
            OwnPhase::Held(grant) => EntryPhase::Held(grant.token.value),
            OwnPhase::Waiting(_) => EntryPhase::Waiting,
        };
        let entry = Entry { place, phase: entry_phase, mode: claim.mode, id: claim.id };
        let path = queue.path_of(&entry);
        let made = make_claim_file(&path, || queue.make_bucket(), claim.to_record().as_bytes());
        let (file, file_id) =
            made.map_err(|error| classify(format_args!("cannot make the claim {}", path.display()), error))?;
        // Somebody may have deleted the directory since the queue was read, and others may have begun
        // anew in it. Whoever enters after this finds the claim.
        if !section.is_valid() {
            // What cannot be removed is not locked once this returns, and swept as dead.
            let _ = fs::remove_file(&path);
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the lock directory was deleted in the middle of a request; try again",
            ));
        }
        let name = claim.name.clone();
        let own = Own { name, mode: claim.mode, place, file, file_id, path, phase };
        lock(&self.claims).insert(claim.id, own);
        self.watch_own_soon(claim.id);
        Ok(())
    }
}

/// Makes, locks and fills a claim file. The control lock keeps everybody from looking at it before
/// it is whole; a process that is killed in here leaves a file that nobody has locked.
fn make_claim_file(path: &Path, make_bucket: impl Fn() -> io::Result<()>, record: &[u8]) -> io::Result<(File, FileId)> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_bucket()?;
            options.open(path)?
        }
        opened => opened?,
    };
    let filled = || {
        // Nobody else can have it yet: waiting here would be a defect.
        file.try_lock().map_err(io::Error::from)?;
        file.write_all_at(record, 0)?;
        Ok(FileId::of(&file.metadata()?))
    };
    match filled() {
        Ok(file_id) => Ok((file, file_id)),
        Err(error) => {
            fs::remove_file(path).unwrap_or_else(|left| {
                tracing::warn!(path = %path.display(), error = %left, "a claim that failed could not be removed");
            });
            Err(error)
        }
    }
}

fn mismatch(name: &LockName, mine: Mode, other: Mode) -> Error {
    Error::new(
        ErrorKind::Mismatch,
        format!(
            "{:?} is in use as {other}, which cannot be combined with {mine}: use one kind per name",
            name.as_str()
        ),
    )
}

fn blocked(name: &LockName, damage: &DamagedEntry) -> Error {
    Error::new(
        ErrorKind::Damaged,
        format!(
            "{:?} is blocked by {}: {}; make sure that nobody holds it, then break it",
            name.as_str(),
            damage.key,
            damage.problem
        ),
    )
}
