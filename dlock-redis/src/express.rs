//! The fast path: a connection of the callers' own, on their runtime.

use std::sync::Arc;

use dlock_core::{
    Claim, ClaimRef, Error, ErrorKind, FastAnswer, FastPath, Grant, Landed, Life, Line, Lines, Result, Withdrawn,
};
use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, RedisFuture};

use crate::error::{classify, classify_connecting, timed_out};
use crate::native::{self, Released, Taken};
use crate::requests::Requests;

/// Takes and gives back free names on a connection that lives on the caller's runtime. It is made
/// for a client that is busy, and whatever it cannot do is left to the keeper.
#[derive(Clone, Debug)]
pub(crate) struct Express {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requests: Arc<Requests>,
    lines: Lines<MultiplexedConnection>,
}

impl Express {
    pub(crate) fn new(requests: Arc<Requests>) -> Self {
        let lines = Lines::new(requests.shared.timeout);
        Self { inner: Arc::new(Inner { requests, lines }) }
    }

    /// Gives up a connection that hangs. Ends with the backend, on whose runtime it runs.
    pub(crate) async fn watch(self) {
        self.inner.lines.clone().watch().await;
    }

    /// Ends the connections for good.
    pub(crate) fn close(&self) {
        self.inner.lines.close();
    }

    /// The connection of the runtime that this is called on.
    fn line(&self) -> Option<Arc<Line<MultiplexedConnection>>> {
        let Requests { shared, routes, .. } = &*self.inner.requests;
        self.inner.lines.line(routes.present_generation()?, || {
            let (generation, client) = routes.present_client()?;
            let inbox = shared.inbox.clone();
            Some((generation, async move { connect(&client, &inbox).await }))
        })
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
            let mut connection = line.connection().clone();
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
            let mut connection = line.connection().clone();
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

impl Inner {
    /// Waits for an answer, or for the line to be given up.
    async fn send<T>(&self, line: &Arc<Line<MultiplexedConnection>>, request: RedisFuture<'_, T>) -> Result<T> {
        let answer = line.answer(request).await;
        let answer = answer.map_err(|landed| timed_out(&self.requests.shared.place).with_landed(landed))?;
        answer.map_err(|error| {
            if error.is_unrecoverable_error() {
                self.lines.give_up(line);
            }
            classify(error)
        })
    }
}

/// Connects, and proves that this is the server that the keeper is connected to: one address may lead to
/// several, or to another than before, and then a name would be taken on one and renewed on the other.
async fn connect(client: &Client, inbox: &str) -> Result<MultiplexedConnection> {
    // No timeout of the library's: the runtime may have no timer.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(classify_connecting)?;
    // Only there somebody listens. What is sent is ignored.
    let listeners = redis::cmd("PUBLISH").arg(inbox).arg("").query_async::<u64>(&mut connection).await;
    match listeners.map_err(classify_connecting)? {
        0 => Err(Error::new(ErrorKind::Unavailable, "this is another server than the keeper's")),
        _ => Ok(connection),
    }
}

fn without_token() -> Error {
    Error::new(ErrorKind::Unavailable, "the server has lost its history").with_landed(Landed::Maybe)
}
