//! The connection: one for requests and pushes alike, rebuilt whenever it fails.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::{advise_on_tls, classify_connecting, timed_out};
use crate::shared::Shared;
use crate::source::{Server, Source};

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_millis(500);

/// Hands out the present connection and has it rebuilt when it breaks or stops answering.
///
/// The library's own connection manager is not used: it reconnects neither from a server that
/// hangs nor, once its retries are used up, at all.
#[derive(Debug)]
pub(crate) struct Link {
    end: Arc<End>,
    broken: mpsc::UnboundedSender<u64>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What a link and the task that rebuilds it share.
#[derive(Debug)]
struct End {
    shared: Arc<Shared>,
    source: Source,
    state: watch::Sender<State>,
    /// Why there is no connection.
    trouble: Mutex<Option<Error>>,
}

#[derive(Clone, Debug)]
enum State {
    Up(Live),
    Down,
    Closed,
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Live {
    generation: u64,
    connection: MultiplexedConnection,
    server: Arc<Server>,
}

impl Link {
    /// Connects for the first time. Where the next attempt may find another server, there are some.
    pub(crate) async fn open(source: Source, shared: Arc<Shared>) -> Result<Self> {
        let deadline = Instant::now() + shared.timeout;
        let (broken, breaks) = mpsc::unbounded_channel();
        let end = Arc::new(End::new(source, shared));
        loop {
            match end.connect(0, &broken).await {
                Ok(live) => {
                    end.state.send_replace(State::Up(live));
                    return Ok(Self::kept(end, broken, breaks));
                }
                Err(error) if end.source.may_change() && is_passing(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(FIRST_DELAY * 5).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins to connect.
    pub(crate) fn begin(source: Source, shared: Arc<Shared>) -> Self {
        let (broken, breaks) = mpsc::unbounded_channel();
        Self::kept(Arc::new(End::new(source, shared)), broken, breaks)
    }

    /// The present connection; waits for one until the deadline if need be.
    pub(crate) async fn present(&self, deadline: Instant) -> Result<Live> {
        if let State::Up(live) = &*self.end.state.borrow() {
            return Ok(live.clone());
        }
        let mut state = self.end.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Down));
        match timeout_at(deadline, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(live.clone()),
                State::Down | State::Closed => Err(closed()),
            },
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(self.end.no_connection()),
        }
    }

    /// Sends one request on a connection of this link. What the server refuses is left to the caller.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer until the deadline.
    pub(crate) async fn send<T, F, Sent>(&self, live: &Live, deadline: Instant, send: F) -> Result<RedisResult<T>>
    where
        F: FnOnce(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        match timeout_at(deadline, send(live.connection.clone())).await {
            Ok(answer) => {
                if answer.as_ref().is_err_and(redis::RedisError::is_unrecoverable_error) {
                    self.break_off(live);
                }
                Ok(answer)
            }
            Err(_) => {
                // A server that hangs, or a path that swallows packets, never closes the connection.
                self.break_off(live);
                Err(timed_out(&live.server.place))
            }
        }
    }

    /// Has this connection replaced.
    pub(crate) fn break_off(&self, live: &Live) {
        // The keeper is gone only after `close`.
        let _ = self.broken.send(live.generation);
    }

    /// The present connection, if there is one.
    pub(crate) fn live(&self) -> Option<Live> {
        match &*self.end.state.borrow() {
            State::Up(live) => Some(live.clone()),
            State::Down | State::Closed => None,
        }
    }

    /// The server that it is connected to now, and which connection that is; for another connection beside it.
    pub(crate) fn present_client(&self) -> Option<(u64, Client)> {
        match &*self.end.state.borrow() {
            State::Up(live) => Some((live.generation, live.server.client.clone())),
            State::Down | State::Closed => None,
        }
    }

    /// Which connection is the present one.
    pub(crate) fn present_generation(&self) -> Option<u64> {
        match &*self.end.state.borrow() {
            State::Up(live) => Some(live.generation),
            State::Down | State::Closed => None,
        }
    }

    /// Ends the connection for good.
    pub(crate) fn close(&self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
        self.end.source.close();
        self.end.state.send_replace(State::Closed);
    }

    fn kept(end: Arc<End>, broken: mpsc::UnboundedSender<u64>, breaks: mpsc::UnboundedReceiver<u64>) -> Self {
        let keeper = tokio::spawn(keep(end.clone(), broken.clone(), breaks));
        Self { end, broken, keeper: Mutex::new(Some(keeper)) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.source.close();
    }
}

impl End {
    fn new(source: Source, shared: Arc<Shared>) -> Self {
        Self { shared, source, state: watch::Sender::new(State::Down), trouble: Mutex::new(None) }
    }

    async fn connect(&self, generation: u64, broken: &mpsc::UnboundedSender<u64>) -> Result<Live> {
        let shared = &self.shared;
        let server = self.source.server().await?;
        let registry = shared.registry.clone();
        let broken = broken.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(shared.timeout))
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                match push.kind {
                    PushKind::Message => {
                        if let Some(Value::BulkString(message)) = push.data.get(1) {
                            registry.on_message(message);
                        }
                    }
                    PushKind::Disconnection => {
                        let _ = broken.send(generation);
                    }
                    _ => {}
                }
                Ok::<(), redis::aio::SendError>(())
            });
        let set_up = async {
            let connected = server.client.get_multiplexed_async_connection_with_config(&config).await;
            let mut connection = connected.map_err(classify_connecting)?;
            shared.check.run(&mut connection, &server.place).await?;
            connection.subscribe(&shared.inbox).await.map_err(classify_connecting)?;
            Ok(connection)
        };
        let deadline = Instant::now() + shared.timeout;
        let connected = tokio::select! {
            connected = timeout_at(deadline, set_up) => {
                connected.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "no answer in time")))
            }
            () = self.source.leaves(&server) => Err(Error::new(ErrorKind::Unavailable, "it is replaced by another")),
        };
        // Later the server is known to be one of this kind.
        let advised = |error: Error| {
            if generation == 0 { advise_on_tls(error, server.client.get_connection_info().addr()) } else { error }
        };
        let connection = connected
            .map_err(advised)
            .map_err(|error: Error| error.context(format_args!("cannot connect to redis at {}", server.place)))?;
        shared.tokens.begin_round();
        Ok(Live { generation, connection, server })
    }

    /// Waits until this connection is of no use any more.
    async fn lost(&self, live: &Live, breaks: &mut mpsc::UnboundedReceiver<u64>) {
        let broken = async { while breaks.recv().await.is_some_and(|generation| generation != live.generation) {} };
        tokio::select! {
            () = broken => tracing::debug!(redis = %live.server.place, "the connection is lost, rebuilding it"),
            () = self.source.leaves(&live.server) => {
                tracing::info!(redis = %live.server.place, "this server is replaced by another, leaving it");
            }
        }
    }

    fn no_connection(&self) -> Error {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        trouble.unwrap_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("there is no connection to redis at {} yet, or not any more", self.shared.place),
            )
        })
    }

    fn set_trouble(&self, trouble: Option<Error>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Replaces each connection that is lost. Ends with the link.
async fn keep(end: Arc<End>, broken: mpsc::UnboundedSender<u64>, mut breaks: mpsc::UnboundedReceiver<u64>) {
    let mut generation = 0;
    let mut delay = FIRST_DELAY;
    loop {
        let present = match &*end.state.borrow() {
            State::Up(live) => Some(live.clone()),
            State::Down | State::Closed => None,
        };
        if let Some(live) = present {
            end.lost(&live, &mut breaks).await;
            end.state.send_replace(State::Down);
            end.source.troubled();
            // What was pushed from here on is lost: let the keeper know now, and again once it can ask.
            end.shared.registry.suspect_all();
            delay = FIRST_DELAY;
        }
        generation += 1;
        match end.connect(generation, &broken).await {
            Ok(live) => {
                end.set_trouble(None);
                end.state.send_replace(State::Up(live));
                end.shared.registry.suspect_all();
            }
            Err(error) => {
                tracing::debug!(redis = %end.shared.place, %error, "cannot reconnect yet");
                end.set_trouble(Some(error));
                end.source.troubled();
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(LAST_DELAY);
            }
        }
    }
}

fn is_passing(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}

/// What is answered once the backend is closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the redis backend is closed")
}

impl Live {
    pub(crate) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("generation", &self.generation).finish_non_exhaustive()
    }
}
