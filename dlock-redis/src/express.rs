//! The fast path: a connection of the callers' own, on their runtime.

mod line;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use dlock_core::{Claim, ClaimRef, Error, ErrorKind, FastAnswer, FastPath, Grant, Landed, Life, Result, Withdrawn};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use redis::RedisFuture;
use redis::aio::ConnectionLike;
use tokio::runtime::{Handle, Id};

use self::line::{Line, connect};
use crate::error::classify;
use crate::native::{self, Released, Taken};
use crate::requests::Requests;

/// Takes and gives back free names on a connection that lives on the caller's runtime: a request by
/// way of the keeper's thread wakes two threads more. It is made for a client that is busy, and
/// whatever it cannot do is left to the keeper.
#[derive(Clone, Debug)]
pub(crate) struct Express {
    inner: Arc<Inner>,
}

struct Inner {
    requests: Arc<Requests>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that are in use, one for each runtime.
    lines: Vec<Arc<Line>>,
    /// Others, of which answers are still awaited.
    replaced: Vec<Arc<Line>>,
    /// Ends the making of a line when it is dropped.
    connecting: Option<(u64, oneshot::Sender<()>)>,
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

impl Express {
    pub(crate) fn new(requests: Arc<Requests>) -> Self {
        Self { inner: Arc::new(Inner { requests, state: Mutex::default() }) }
    }

    /// Gives up a line that hangs, made or in the making. Ends with the backend, on whose runtime it runs: that of
    /// the callers may have no timer.
    pub(crate) async fn watch(self) {
        let mut connecting = None;
        loop {
            // An answer that is due is late at the second look.
            tokio::time::sleep(self.inner.requests.shared.timeout / 2).await;
            let lines = {
                let mut state = self.inner.lock();
                let begun = state.connecting.as_ref().map(|(number, _)| *number);
                if begun.is_some() && begun == connecting {
                    state.connecting = None;
                }
                connecting = begun;
                state.replaced.retain(|line| line.is_awaited());
                state.lines.iter().chain(&state.replaced).cloned().collect::<Vec<_>>()
            };
            for line in lines.into_iter().filter(|line| line.stands_still()) {
                self.inner.give_up(&line);
            }
        }
    }

    /// Ends the connections for good.
    pub(crate) fn close(&self) {
        let lines = {
            let mut state = self.inner.lock();
            state.is_closed = true;
            state.connecting = None;
            [std::mem::take(&mut state.lines), std::mem::take(&mut state.replaced)]
        };
        lines.iter().flatten().for_each(|line| line.cut());
    }
}

impl FastPath for Express {
    fn take(&self, claim: &Claim) -> Option<FastAnswer<(Grant, Life)>> {
        let requests = &self.inner.requests;
        if requests.contention.is_on(&claim.name) {
            return None;
        }
        let line = self.line()?;
        let bucket = requests.shared.keys.bucket(&claim.name);
        let before = requests.shared.tokens.lifted(bucket)?;
        let pipeline = native::taking(&requests.shared, claim, before);
        let (inner, claim) = (self.inner.clone(), claim.to_ref());
        let taking = async move {
            let Requests { shared, clock, contention, .. } = &*inner.requests;
            let registry = &shared.registry;
            registry.begin(&claim);
            let sent_at = clock.now();
            let mut connection = line.connection.clone();
            let replies = inner.send(&line, connection.req_packed_commands(&pipeline, 0, 2)).await;
            let taken = replies.and_then(|replies| native::taken(shared, bucket, before, replies).map_err(classify));
            if let Ok(Taken::Held(token)) = taken {
                let grant = registry.end_granted(claim.id, Grant { token, predecessor: None });
                return Ok(Some((grant, Life::new(sent_at, claim.ttl))));
            }
            registry.end(claim.id);
            match taken {
                Ok(Taken::No) => {
                    registry.forget(claim.id);
                    contention.met(&claim.name);
                    Ok(None)
                }
                // It takes a lift, for which the keeper asks again.
                Ok(_) => {
                    shared.tokens.doubt(bucket);
                    Err(without_token())
                }
                Err(error) => {
                    if error.landed() == Landed::No {
                        registry.forget(claim.id);
                    }
                    Err(error)
                }
            }
        };
        Some(taking.boxed())
    }

    fn give_back(&self, claim: &ClaimRef) -> Option<FastAnswer<Withdrawn>> {
        if self.inner.requests.contention.is_on(&claim.name) {
            return None;
        }
        let line = self.line()?;
        let command = native::giving_back(&self.inner.requests.shared, claim);
        let (inner, claim) = (self.inner.clone(), claim.clone());
        let giving = async move {
            let Requests { shared, contention, .. } = &*inner.requests;
            shared.registry.forget(claim.id);
            let mut connection = line.connection.clone();
            let answer = inner.send(&line, connection.req_packed_command(&command)).await?;
            match native::released(answer).map_err(classify)? {
                Released::Removed => Ok(Some(Withdrawn::Removed)),
                Released::Absent => Ok(Some(Withdrawn::Absent)),
                Released::Queue => {
                    contention.met(&claim.name);
                    Ok(None)
                }
            }
        };
        Some(giving.boxed())
    }
}

impl Express {
    /// The line of the runtime that this is called on; makes one in the background if it is missed often.
    fn line(&self) -> Option<Arc<Line>> {
        let runtime = Handle::try_current().ok()?;
        let present = self.inner.requests.routes.present_generation()?;
        let mut state = self.inner.lock();
        let fits = |line: &&Arc<Line>| line.runtime == runtime.id() && line.generation == present;
        if let Some(line) = state.lines.iter().find(fits) {
            return Some(line.clone());
        }
        state.missed = state.missed.saturating_add(1);
        let id = runtime.id();
        if state.missed >= BUSY && state.connecting.is_none() && !state.unfit.contains(&id) && !state.is_closed {
            let (generation, client) = self.inner.requests.routes.present_client()?;
            let (end, ended) = oneshot::channel();
            state.missed = 0;
            state.begun += 1;
            state.connecting = Some((state.begun, end));
            let making = Making { inner: Arc::downgrade(&self.inner), number: state.begun };
            let shared = self.inner.requests.shared.clone();
            drop(state);
            runtime.spawn(async move {
                // A runtime without input and output answers by a panic.
                let connected = AssertUnwindSafe(connect(&client, &shared.inbox)).catch_unwind();
                let Either::Left((connected, _)) = select(pin!(connected), ended).await else { return };
                match connected {
                    Ok(Ok(connection)) => making.succeed(Line::new(id, generation, connection)),
                    Ok(Err(error)) => tracing::debug!(%error, "no connection of the caller's own"),
                    Err(_) => {
                        tracing::debug!("no connection can live on the caller's runtime: build it with `enable_io`");
                        making.refuse(id);
                    }
                }
            });
        }
        None
    }
}

/// The making of a line, which ends when it is dropped: its runtime may end before.
struct Making {
    inner: Weak<Inner>,
    number: u64,
}

impl Making {
    fn succeed(self, line: Line) {
        self.end(|state| {
            let stays = |other: &Arc<Line>| other.runtime != line.runtime && other.generation == line.generation;
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
    fn end(&self, settle: impl FnOnce(&mut State)) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut state = inner.lock();
        if state.connecting.as_ref().is_some_and(|(number, _)| *number == self.number) {
            state.connecting = None;
            settle(&mut state);
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.end(|_| ());
    }
}

impl Inner {
    /// Waits for an answer, or for the line to be given up.
    async fn send<T>(&self, line: &Arc<Line>, request: RedisFuture<'_, T>) -> Result<T> {
        line.answer(&self.requests.shared.place, request).await?.map_err(|error| {
            if error.is_unrecoverable_error() {
                self.give_up(line);
            }
            classify(error)
        })
    }

    fn give_up(&self, line: &Arc<Line>) {
        let mut state = self.lock();
        state.lines.retain(|present| !Arc::ptr_eq(present, line));
        drop(state);
        line.cut();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_token() -> Error {
    Error::new(ErrorKind::Unavailable, "the server has lost its history").with_landed(Landed::Maybe)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Express").finish_non_exhaustive()
    }
}
