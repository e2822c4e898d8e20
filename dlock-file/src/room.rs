//! What all requests of one backend share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dlock_core::{ClaimId, Clock, Error, ErrorKind, Event, Gone, Life, LockName, Requested, Result};
use futures::channel::mpsc::UnboundedSender;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::claims::Claims;
use crate::control::{Control, Section, unlock};
use crate::entry::Entry;
use crate::timers::{Task, Timers};
use crate::wake::{Role, Watched, Watcher};

/// Until a held or waiting claim watches its own file.
const WATCH_OWN_AFTER: Duration = Duration::from_millis(25);

/// Until a new waiter makes sure that nothing escaped it while it began to watch.
const CONFIRM_AFTER: Duration = Duration::from_millis(32);

/// How often a file is looked at that cannot be watched.
pub(crate) const POLL_EVERY: Duration = Duration::from_millis(50);

/// The state of one backend: the namespace's directory, and the claims of this process in it.
///
/// Everything inside the control lock runs inline on the keeper: it is a handful of system calls
/// on a local file system, cheaper than the way to another thread and back, and claims that live
/// by their process do not depend on a keeper that is on time.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) dir: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) request_timeout: Duration,
    pub(crate) watcher: Watcher,
    /// Something became due earlier than the driver knows.
    pub(crate) hurry: Notify,
    pub(crate) control: Mutex<Control>,
    pub(crate) claims: Mutex<Claims>,
    pub(crate) timers: Mutex<Timers>,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) closed: AtomicBool,
}

impl Room {
    /// Does something inside the control lock, waiting for it up to the request timeout.
    pub(crate) async fn enter<T>(&self, mut work: impl FnMut(&mut Section<'_>) -> Result<T> + Send) -> Result<T> {
        let deadline = Instant::now() + self.request_timeout;
        let mut pause = Duration::from_millis(1);
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Closed, "the file backend has been closed"));
            }
            if let Some(done) = self.try_enter(&mut work)? {
                return Ok(done);
            }
            if Instant::now() >= deadline {
                return Err(self.no_entry());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(16));
        }
    }

    fn try_enter<T>(&self, work: &mut impl FnMut(&mut Section<'_>) -> Result<T>) -> Result<Option<T>> {
        let mut control = lock(&self.control);
        // The others stay for some ten microseconds: look again before a whole millisecond's sleep.
        for attempt in 0..4 {
            if attempt > 0 {
                std::thread::sleep(Duration::from_micros(20));
            }
            if let Some(mut section) = control.try_enter()? {
                return work(&mut section).map(Some);
            }
        }
        Ok(None)
    }

    fn no_entry(&self) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "another process has kept the control lock {} for {:?}: it may be stopped or stuck on the disk; \
                 look for it with lslocks and continue or end it",
                lock(&self.control).path().display(),
                self.request_timeout
            ),
        )
    }

    pub(crate) fn life(&self) -> Life {
        Life::of_process(self.clock.now())
    }

    /// How a claim of this process stands.
    pub(crate) fn answer(&self, id: ClaimId) -> Option<Requested> {
        let grant = lock(&self.claims).get(&id)?.grant();
        Some(match grant {
            Some(grant) => Requested::Held(grant, self.life()),
            None => Requested::Queued(self.life()),
        })
    }

    /// Whether an entry is a claim of this process on `name`, and so alive.
    pub(crate) fn is_own(&self, name: &LockName, entry: &Entry, path: &Path) -> bool {
        lock(&self.claims).get(&entry.id).is_some_and(|own| own.name == *name && own.stands_at(path))
    }

    /// Watches the files that a waiting claim waits for.
    pub(crate) fn watch_blockers(&self, id: ClaimId, blockers: &[PathBuf]) {
        self.watcher.forget(id, Role::Blocker);
        let mut task = (CONFIRM_AFTER, Task::Confirm(CONFIRM_AFTER));
        for path in blockers {
            match self.watcher.watch(path, id, Role::Blocker) {
                Watched::Yes => {}
                Watched::Gone => task = (Duration::ZERO, Task::Settle),
                Watched::No if task.1 == Task::Settle => {}
                Watched::No => task = (POLL_EVERY, Task::Poll),
            }
        }
        self.later(task.0, id, task.1);
    }

    pub(crate) fn watch_own_soon(&self, id: ClaimId) {
        if self.watcher.pushes() {
            self.later(WATCH_OWN_AFTER, id, Task::WatchOwn);
        }
    }

    pub(crate) fn later(&self, after: Duration, id: ClaimId, task: Task) {
        if lock(&self.timers).add(Instant::now() + after, id, task) {
            self.hurry.notify_one();
        }
    }

    /// Forgets a claim that somebody took away from us, and says so.
    pub(crate) fn lose(&self, id: ClaimId, gone: Gone) {
        let Some(own) = lock(&self.claims).remove(&id) else { return };
        unlock(&own.file);
        self.stop_watching(id);
        self.tell(Event::Gone(id, gone));
        self.wake_own_waiters(&own.name);
    }

    /// Looks at a claim's own file, and answers what happened to it.
    pub(crate) fn check(&self, id: ClaimId) -> Option<Gone> {
        lock(&self.claims).get(&id)?.check(id)
    }

    pub(crate) fn stop_watching(&self, id: ClaimId) {
        self.watcher.forget(id, Role::Own);
        self.watcher.forget(id, Role::Blocker);
    }

    /// Has this process's waiters on a name look again, where no push will.
    pub(crate) fn wake_own_waiters(&self, name: &LockName) {
        let waiting: Vec<_> = {
            let claims = lock(&self.claims);
            claims.iter().filter(|(_, own)| own.is_waiting() && own.name == *name).map(|(id, _)| *id).collect()
        };
        for id in waiting {
            self.later(Duration::ZERO, id, Task::Settle);
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody listens any more when the keeper has gone; then nobody needs to know.
        let _ = self.events.unbounded_send(event);
    }
}

/// A panic in here loses nothing that the directory does not know.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
