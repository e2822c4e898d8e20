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

use crate::error::{advise_on_tls, classify, classify_connecting, timed_out};
use crate::shared::Shared;

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
    client: Client,
    place: String,
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

#[derive(Clone)]
struct Live {
    generation: u64,
    connection: MultiplexedConnection,
}

impl Link {
    /// Connects to the server that `client` reaches, for the first time.
    pub(crate) async fn open(client: Client, shared: Arc<Shared>) -> Result<Self> {
        let (broken, breaks) = mpsc::unbounded_channel();
        let place = client.get_connection_info().addr().to_string();
        let end = End { shared, client, place, state: watch::Sender::new(State::Down), trouble: Mutex::new(None) };
        let connection = end.connect(0, &broken).await?;
        end.state.send_replace(State::Up(Live { generation: 0, connection }));
        let end = Arc::new(end);
        let keeper = tokio::spawn(keep(end.clone(), broken.clone(), breaks));
        Ok(Self { end, broken, keeper: Mutex::new(Some(keeper)) })
    }

    /// Sends one request on the present connection, waiting for one if need be, all before the
    /// deadline.
    pub(crate) async fn run<T, F, Sent>(&self, deadline: Instant, send: F) -> Result<T>
    where
        F: FnOnce(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
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
                Err(timed_out(&self.end.place))
            }
        }
    }

    /// The server that it is connected to now, and which connection that is; for another connection beside it.
    pub(crate) fn present_client(&self) -> Option<(u64, Client)> {
        match &*self.end.state.borrow() {
            State::Up(live) => Some((live.generation, self.end.client.clone())),
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
        self.end.state.send_replace(State::Closed);
    }

    async fn present(&self, deadline: Instant) -> Result<Live> {
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

impl End {
    async fn connect(&self, generation: u64, broken: &mpsc::UnboundedSender<u64>) -> Result<MultiplexedConnection> {
        let shared = &self.shared;
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
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(classify_connecting)?;
            shared.check.run(&mut connection, &self.place).await?;
            connection.subscribe(&shared.inbox).await.map_err(classify_connecting)?;
            Ok(connection)
        };
        let deadline = Instant::now() + shared.timeout;
        let connected = timeout_at(deadline, set_up)
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "no answer in time")))
            .map_err(|error| {
                let is_first = generation == 0;
                if is_first { advise_on_tls(error, self.client.get_connection_info().addr()) } else { error }
            })
            .map_err(|error| error.context(format_args!("cannot connect to redis at {}", self.place)))?;
        shared.tokens.begin_round();
        Ok(connected)
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
async fn keep(end: Arc<End>, broken: mpsc::UnboundedSender<u64>, mut breaks: mpsc::UnboundedReceiver<u64>) {
    let mut generation = 0;
    while let Some(at) = breaks.recv().await {
        if at != generation {
            continue;
        }
        tracing::debug!(redis = %end.place, "the connection is lost, rebuilding it");
        end.state.send_replace(State::Down);
        // What was pushed from here on is lost: let the keeper know now, and again once it can ask.
        end.shared.registry.suspect_all();
        let mut delay = FIRST_DELAY;
        loop {
            generation += 1;
            match end.connect(generation, &broken).await {
                Ok(connection) => {
                    end.set_trouble(None);
                    end.state.send_replace(State::Up(Live { generation, connection }));
                    end.shared.registry.suspect_all();
                    break;
                }
                Err(error) => {
                    tracing::debug!(redis = %end.place, %error, "cannot reconnect yet");
                    end.set_trouble(Some(error));
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
