mod line;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use tokio::runtime::{Handle, Id};

pub use self::line::Line;
use crate::Result;

/// Connections that live on the runtimes of callers, for a [`FastPath`](super::FastPath): a request
/// by way of the keeper's thread wakes two threads more.
///
/// There is one for each runtime that asks often. It is made in the background; until then, and
/// wherever it cannot be made, the answer is that there is none.
#[derive(Clone)]
pub struct Lines<C> {
    inner: Arc<Inner<C>>,
}

struct Inner<C> {
    timeout: Duration,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// Those that are in use, one for each runtime.
    lines: Vec<Arc<Line<C>>>,
    /// Others, of which answers are still awaited.
    replaced: Vec<Arc<Line<C>>>,
    /// Ends the making of a line when it is dropped.
    dialling: Option<(u64, oneshot::Sender<()>)>,
    /// How many were begun.
    begun: u64,
    /// How often it was missed since the last one was made.
    missed: u32,
    /// Runtimes that no connection can live on.
    unfit: Vec<Id>,
    is_closed: bool,
}

/// A connection is worth it to a client that has asked so often.
const BUSY: u32 = 16;
/// So many runtimes have one at a time.
const RUNTIMES: usize = 4;

impl<C: Send + Sync + 'static> Lines<C> {
    /// There are none yet. A request on one is given up after at most `timeout`, if
    /// [`Lines::watch`] runs.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let state = State {
            lines: Vec::new(),
            replaced: Vec::new(),
            dialling: None,
            begun: 0,
            missed: 0,
            unfit: Vec::new(),
            is_closed: false,
        };
        Self { inner: Arc::new(Inner { timeout, state: Mutex::new(state) }) }
    }

    /// The line of the runtime that this is called on, if it is of this `generation`: one that was
    /// dialled for an earlier one may lead to a server that was left since.
    ///
    /// If it is missed often, `dial` is asked for one, and for the generation that it will be of.
    /// What it answers is polled on this runtime, which may have no timer, and is dropped when it
    /// takes longer than the timeout. It has to prove that the connection leads to the service that
    /// the keeper is connected to.
    pub fn line<F>(&self, generation: u64, dial: impl FnOnce() -> Option<(u64, F)>) -> Option<Arc<Line<C>>>
    where
        F: Future<Output = Result<C>> + Send + 'static,
    {
        let runtime = Handle::try_current().ok()?;
        let id = runtime.id();
        let mut state = self.inner.lock();
        let fits = |line: &&Arc<Line<C>>| line.runtime == id && line.generation == generation;
        if let Some(line) = state.lines.iter().find(fits) {
            return Some(line.clone());
        }
        state.missed = state.missed.saturating_add(1);
        if state.missed < BUSY || state.dialling.is_some() || state.unfit.contains(&id) || state.is_closed {
            return None;
        }
        let (generation, dialled) = dial()?;
        let (end, ended) = oneshot::channel();
        state.missed = 0;
        state.begun += 1;
        state.dialling = Some((state.begun, end));
        let making = Making { inner: Arc::downgrade(&self.inner), number: state.begun };
        drop(state);
        runtime.spawn(async move {
            // A runtime without input and output answers by a panic.
            let dialled = AssertUnwindSafe(dialled).catch_unwind();
            let Either::Left((dialled, _)) = select(pin!(dialled), ended).await else { return };
            match dialled {
                Ok(Ok(connection)) => making.succeed(Line::new(id, generation, connection)),
                Ok(Err(error)) => tracing::debug!(%error, "no connection of the caller's own"),
                Err(_) => {
                    tracing::debug!("no connection can live on the caller's runtime: build it with `enable_io`");
                    making.refuse(id);
                }
            }
        });
        None
    }

    /// Nobody is to use the line any more; whoever waits for an answer on it ends.
    pub fn give_up(&self, line: &Arc<Line<C>>) {
        self.inner.lock().lines.retain(|present| !Arc::ptr_eq(present, line));
        line.cut();
    }

    /// Gives up lines that hang, made or in the making, for ever. To be spawned on the keeper's
    /// runtime: that of the callers may have no timer.
    pub async fn watch(self) {
        let mut dialling = None;
        loop {
            // An answer that is due is late at the second look.
            tokio::time::sleep(self.inner.timeout / 2).await;
            let lines = {
                let mut state = self.inner.lock();
                let begun = state.dialling.as_ref().map(|(number, _)| *number);
                if begun.is_some() && begun == dialling {
                    state.dialling = None;
                }
                dialling = begun;
                state.replaced.retain(|line| line.is_awaited());
                state.lines.iter().chain(&state.replaced).cloned().collect::<Vec<_>>()
            };
            for line in lines.into_iter().filter(|line| line.stands_still()) {
                self.give_up(&line);
            }
        }
    }

    /// Ends all of them for good.
    pub fn close(&self) {
        let lines = {
            let mut state = self.inner.lock();
            state.is_closed = true;
            state.dialling = None;
            [std::mem::take(&mut state.lines), std::mem::take(&mut state.replaced)]
        };
        lines.iter().flatten().for_each(|line| line.cut());
    }
}

/// The making of a line, which ends when it is dropped: its runtime may end before.
struct Making<C> {
    inner: Weak<Inner<C>>,
    number: u64,
}

impl<C> Making<C> {
    fn succeed(self, line: Line<C>) {
        self.end(|state| {
            let stays = |other: &Arc<Line<C>>| other.runtime != line.runtime && other.generation == line.generation;
            let (mut lines, replaced) = state.lines.drain(..).partition::<Vec<_>, _>(stays);
            state.replaced.extend(replaced);
            if lines.len() >= RUNTIMES {
                state.replaced.push(lines.remove(0));
            }
            lines.push(Arc::new(line));
            state.lines = lines;
        });
    }

    fn refuse(self, runtime: Id) {
        self.end(|state| state.unfit.push(runtime));
    }

    /// Does something if it was not ended from elsewhere.
    fn end(&self, settle: impl FnOnce(&mut State<C>)) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut state = inner.lock();
        if state.dialling.as_ref().is_some_and(|(number, _)| *number == self.number) {
            state.dialling = None;
            settle(&mut state);
        }
    }
}

impl<C> Drop for Making<C> {
    fn drop(&mut self) {
        self.end(|_| ());
    }
}

impl<C> Inner<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> fmt::Debug for Lines<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("timeout", &self.inner.timeout).finish_non_exhaustive()
    }
}
