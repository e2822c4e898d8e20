//! The fast path: a connection of the callers' own, on their runtime.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dlock_core::{Claim, ClaimRef, Error, ErrorKind, FastAnswer, FastPath, Grant, Landed, Life, Result, Withdrawn};
use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, RedisFuture, RedisResult};
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

use crate::error::{classify, timed_out};
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
    line: Option<Arc<Line>>,
    is_connecting: bool,
    /// How often it was missed since the last one was made.
    missed: u32,
}

/// One connection, and the runtime that its driver runs on.
struct Line {
    runtime: Id,
    /// Which connection of the link it was made beside: a link that is rebuilt may lead to another server.
    generation: u64,
    connection: MultiplexedConnection,
    sent: AtomicU64,
    answered: AtomicU64,
    /// Rung when it is given up: whoever waits for an answer on it ends.
    cut: Notify,
    is_cut: AtomicBool,
}

/// A connection is worth it to a client that has asked so often.
const BUSY: u32 = 16;

impl Express {
    pub(crate) fn new(requests: Arc<Requests>) -> Self {
        Self { inner: Arc::new(Inner { requests, state: Mutex::default() }) }
    }

    /// Gives up a line that hangs. Ends with the backend, on whose runtime it runs: that of the callers may have
    /// no timer.
    pub(crate) async fn watch(self) {
        let mut before: Option<(Arc<Line>, u64)> = None;
        loop {
            // An answer that is due is late at the second look.
            tokio::time::sleep(self.inner.requests.shared.timeout / 2).await;
            let line = self.inner.lock().line.clone();
            before = line.and_then(|line| {
                let (sent, answered) = (line.sent.load(Ordering::Acquire), line.answered.load(Ordering::Acquire));
                let stands_still =
                    matches!(&before, Some((same, then)) if Arc::ptr_eq(same, &line) && *then == answered);
                if stands_still {
                    self.inner.give_up(&line);
                }
                (!stands_still && sent > answered).then_some((line, answered))
            });
        }
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
                Ok(_) => Err(without_token()),
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
        if let Some(line) = state.line.as_ref().filter(fits) {
            return Some(line.clone());
        }
        state.missed += 1;
        if state.missed >= BUSY && !state.is_connecting {
            let (generation, client) = self.inner.requests.routes.present_client()?;
            state.missed = 0;
            state.is_connecting = true;
            let inner = Arc::downgrade(&self.inner);
            let id = runtime.id();
            runtime.spawn(async move {
                let connected = connect(&client).await;
                let Some(inner) = inner.upgrade() else { return };
                let line = connected.inspect_err(|error| tracing::debug!(%error, "no connection of the caller's own"));
                let line = line.ok().map(|connection| Arc::new(Line::new(id, generation, connection)));
                let mut state = inner.lock();
                state.is_connecting = false;
                state.line = line;
            });
        }
        None
    }
}

impl Inner {
    /// Waits for an answer, or for the line to be given up.
    async fn send<T>(&self, line: &Arc<Line>, request: RedisFuture<'_, T>) -> Result<T> {
        line.sent.fetch_add(1, Ordering::AcqRel);
        let cut = line.cut.notified();
        if line.is_cut.load(Ordering::Acquire) {
            return Err(timed_out(&self.requests.shared.place).with_landed(Landed::No));
        }
        let answer = tokio::select! {
            biased;
            answer = request => answer,
            () = cut => return Err(timed_out(&self.requests.shared.place)),
        };
        line.answered.fetch_add(1, Ordering::AcqRel);
        answer.map_err(|error| {
            if error.is_unrecoverable_error() {
                self.give_up(line);
            }
            classify(error)
        })
    }

    fn give_up(&self, line: &Arc<Line>) {
        let mut state = self.lock();
        if state.line.as_ref().is_some_and(|present| Arc::ptr_eq(present, line)) {
            state.line = None;
        }
        line.is_cut.store(true, Ordering::Release);
        line.cut.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new(runtime: Id, generation: u64, connection: MultiplexedConnection) -> Self {
        let (sent, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { runtime, generation, connection, sent, answered, cut: Notify::new(), is_cut: AtomicBool::new(false) }
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn without_token() -> Error {
    Error::new(ErrorKind::Unavailable, "the server has lost its history").with_landed(Landed::Maybe)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Express").finish_non_exhaustive()
    }
}
