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

use crate::error::{classify, classify_connecting, timed_out};
use crate::keys::Keyspace;
use crate::registry::Registry;
use crate::scripts::Scripts;
use crate::server::ServerCheck;
use crate::tokens::Tokens;

const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_millis(500);

/// Hands out the present connection and has it rebuilt when it breaks or stops answering.
///
/// The library's own connection manager is not used: it reconnects neither from a server that
/// hangs nor, once its retries are used up, at all; and tokens must be lifted before the first
/// request on a new connection.
#[derive(Debug)]
pub(crate) struct Link {
    state: Arc<watch::Sender<State>>,
    broken: mpsc::UnboundedSender<u64>,
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What every new connection is set up with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) place: String,
    pub(crate) timeout: Duration,
    pub(crate) check: ServerCheck,
    pub(crate) inbox: String,
    pub(crate) keys: Keyspace,
    pub(crate) scripts: Scripts,
    pub(crate) tokens: Tokens,
    pub(crate) registry: Arc<Registry>,
    /// Why there is no connection.
    pub(crate) trouble: Mutex<Option<Error>>,
}

#[derive(Clone, Debug)]
enum State {
    Up(Live),
    Down,
    Closed,
}

#[derive(Clone)]
struct Live {
    generation: u64,
    connection: MultiplexedConnection,
}

impl Link {
    /// Connects for the first time.
    pub(crate) async fn open(shared: Arc<Shared>) -> Result<Self> {
        let (broken, breaks) = mpsc::unbounded_channel();
        let connection = shared.connect(0, &broken).await?;
        let state = Arc::new(watch::Sender::new(State::Up(Live { generation: 0, connection })));
        let keeper = tokio::spawn(keep(shared.clone(), state.clone(), broken.clone(), breaks));
        Ok(Self { state, broken, shared, keeper: Mutex::new(Some(keeper)) })
    }

    /// Sends one request on the present connection, waiting for one if need be, all within the
    /// request timeout.
    pub(crate) async fn run<T, F, Sent>(&self, send: F) -> Result<T>
    where
        F: FnOnce(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        let deadline = Instant::now() + self.shared.timeout;
        let live = self.present(deadline).await?;
        match timeout_at(deadline, send(live.connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() {
                    self.break_off(live.generation);
                }
                Err(classify(error))
            }
            Err(_) => {
                // A server that hangs, or a path that swallows packets, never closes the connection.
                self.break_off(live.generation);
                Err(timed_out(&self.shared.place))
            }
        }
    }

    /// Ends the connection for good.
    pub(crate) fn close(&self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
        self.state.send_replace(State::Closed);
    }

    async fn present(&self, deadline: Instant) -> Result<Live> {
        if let State::Up(live) = &*self.state.borrow() {
            return Ok(live.clone());
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Down));
        match timeout_at(deadline, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(live.clone()),
                State::Down | State::Closed => Err(closed()),
            },
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(self.shared.no_connection()),
        }
    }

    fn break_off(&self, generation: u64) {
        // The keeper is gone only after `close`.
        let _ = self.broken.send(generation);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    async fn connect(&self, generation: u64, broken: &mpsc::UnboundedSender<u64>) -> Result<MultiplexedConnection> {
        let registry = self.registry.clone();
        let broken = broken.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
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
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(classify_connecting)?;
            self.check.run(&mut connection, &self.place).await?;
            connection.subscribe(&self.inbox).await.map_err(classify_connecting)?;
            self.lift(&mut connection, 0).await.map_err(classify_connecting)?;
            Ok(connection)
        };
        let deadline = Instant::now() + self.timeout;
        timeout_at(deadline, set_up)
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "no answer in time")))
            .map_err(|error: Error| error.context(format_args!("cannot connect to redis at {}", self.place)))
    }

    /// Lifts the token counter, and mints `count` tokens (0 or 1). What it answers is the history
    /// from now on.
    pub(crate) async fn lift(
        &self,
        connection: &mut MultiplexedConnection,
        count: u8,
    ) -> RedisResult<(String, String)> {
        let (floor, epoch) = crate::entry::token_to_args(self.tokens.highest());
        let answer: (String, String) = self
            .scripts
            .lift
            .key(self.keys.tokens())
            .key(self.keys.epoch())
            .arg(self.tokens.spare_epoch())
            .arg(epoch)
            .arg(if floor == "-" { "0" } else { &floor })
            .arg(count)
            .invoke_async(connection)
            .await?;
        if let Some(token) = crate::entry::token_from_text(&answer.0, &answer.1) {
            if self.tokens.highest().is_some_and(|known| known.epoch != token.epoch) {
                tracing::warn!(redis = %self.place, "the server has lost its history: tokens start a new epoch");
            }
            self.tokens.adopt(token);
        }
        Ok(answer)
    }

    fn no_connection(&self) -> Error {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        trouble.unwrap_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("the connection to redis at {} is lost", self.place))
        })
    }

    fn set_trouble(&self, trouble: Option<Error>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Rebuilds the connection each time it is reported broken. Ends with the link.
async fn keep(
    shared: Arc<Shared>,
    state: Arc<watch::Sender<State>>,
    broken: mpsc::UnboundedSender<u64>,
    mut breaks: mpsc::UnboundedReceiver<u64>,
) {
    let mut generation = 0;
    while let Some(at) = breaks.recv().await {
        if at != generation {
            continue;
        }
        tracing::debug!(redis = %shared.place, "the connection is lost, rebuilding it");
        state.send_replace(State::Down);
        // What was pushed from here on is lost: let the keeper know now, and again once it can ask.
        shared.registry.suspect_all();
        let mut delay = FIRST_DELAY;
        loop {
            generation += 1;
            match shared.connect(generation, &broken).await {
                Ok(connection) => {
                    shared.set_trouble(None);
                    state.send_replace(State::Up(Live { generation, connection }));
                    shared.registry.suspect_all();
                    break;
                }
                Err(error) => {
                    tracing::debug!(redis = %shared.place, %error, "cannot reconnect yet");
                    shared.set_trouble(Some(error));
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(LAST_DELAY);
                }
            }
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the redis backend is closed")
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("generation", &self.generation).finish_non_exhaustive()
    }
}
