//! Waiting claims are judged anew when something before them changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dlock_core::{ClaimId, Event, Gone, Grant, LockName, Predecessor, Result, Token};

use crate::claims::OwnPhase;
use crate::control::Section;
use crate::entry::EntryPhase;
use crate::error::classify;
use crate::queue::{Queue, Verdict};
use crate::room::{Room, lock};
use crate::timers::Task;

/// How many claims are judged in one stay inside the control lock.
const BATCH: usize = 128;

/// Until a claim is judged again that could not be.
const RETRY_AFTER: Duration = Duration::from_millis(100);

impl Room {
    /// Judges waiting claims, and grants those whose turn it is.
    pub(crate) async fn settle(&self, ids: impl IntoIterator<Item = ClaimId>) {
        for (name, mut waiting) in self.waiting_by_name(ids) {
            waiting.sort_unstable();
            waiting.dedup();
            for batch in waiting.chunks(BATCH) {
                let settled = self.enter(|section| self.settle_inside(section, &name, batch)).await;
                if let Err(error) = settled {
                    tracing::debug!(%name, %error, "waiting claims could not be judged, trying again");
                    batch.iter().for_each(|(_, id)| self.later(RETRY_AFTER, *id, Task::Settle));
                }
            }
        }
    }

    fn waiting_by_name(&self, ids: impl IntoIterator<Item = ClaimId>) -> BTreeMap<LockName, Vec<(u64, ClaimId)>> {
        let claims = lock(&self.claims);
        let mut by_name: BTreeMap<LockName, Vec<_>> = BTreeMap::new();
        for id in ids {
            if let Some(own) = claims.get(&id).filter(|own| own.is_waiting()) {
                by_name.entry(own.name.clone()).or_default().push((own.place, id));
            }
        }
        by_name
    }

    fn settle_inside(&self, section: &mut Section<'_>, name: &LockName, waiting: &[(u64, ClaimId)]) -> Result<()> {
        let mut queue = Queue::read(&self.dir, name)?;
        for (place, id) in waiting {
            let Some(entry) = queue.find(*id).cloned() else {
                self.lose(*id, Gone::Absent);
                continue;
            };
            match queue.judge(entry.mode, *place, &|entry, path| self.is_own(name, entry, path))? {
                Verdict::Held(remains) => {
                    if self.grant(section, &mut queue, *id, remains.vanished)? {
                        remains.sweep();
                    }
                }
                Verdict::Wait(blockers, remains) => {
                    remains.sweep_waiters();
                    self.wait_for(*id, blockers);
                }
                Verdict::Damaged(damage) => self.wait_for(*id, queue.locate(&damage.key).into_iter().collect()),
                // It was not there when the claim was registered: somebody plays with the files.
                Verdict::Mismatch(_) => self.later(RETRY_AFTER, *id, Task::Settle),
            }
        }
        Ok(())
    }

    fn grant(&self, section: &mut Section<'_>, queue: &mut Queue<'_>, id: ClaimId, vanished: bool) -> Result<bool> {
        let token = section.mint(0)?;
        let mut claims = lock(&self.claims);
        let Some(own) = claims.get_mut(&id).filter(|own| own.is_waiting()) else { return Ok(false) };
        if let Some(gone) = own.check(id) {
            drop(claims);
            self.lose(id, gone);
            return Ok(false);
        }
        let entry = own.entry(id, EntryPhase::Held(token));
        let path = queue.path_of(&entry);
        match fs::rename(&own.path, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                drop(claims);
                self.lose(id, Gone::Absent);
                return Ok(false);
            }
            Err(error) => {
                return Err(classify(format_args!("cannot grant the claim {}", own.path.display()), error));
            }
        }
        queue.update(entry);
        // A holder that dies or is broken leaves a trace while somebody waits behind it.
        let predecessor = if vanished { Predecessor::Vanished } else { Predecessor::Released };
        let epoch = section.epoch();
        let grant = Grant { token: Token { epoch, value: token }, predecessor: Some(predecessor) };
        own.path = path;
        own.phase = OwnPhase::Held(grant);
        drop(claims);
        self.watcher.forget(id, crate::wake::Role::Blocker);
        self.tell(Event::Granted(id, grant));
        Ok(true)
    }

    fn wait_for(&self, id: ClaimId, blockers: Vec<PathBuf>) {
        {
            let mut claims = lock(&self.claims);
            let Some(own) = claims.get_mut(&id) else { return };
            match &mut own.phase {
                OwnPhase::Waiting(old) if *old == blockers => return,
                OwnPhase::Waiting(old) => old.clone_from(&blockers),
                OwnPhase::Held(_) => return,
            }
        }
        self.watch_blockers(id, &blockers);
    }

    /// What a waiting claim waits for.
    pub(crate) fn blockers(&self, id: ClaimId) -> Option<Vec<PathBuf>> {
        match &lock(&self.claims).get(&id)?.phase {
            OwnPhase::Waiting(blockers) => Some(blockers.clone()),
            OwnPhase::Held(_) => None,
        }
    }
}
