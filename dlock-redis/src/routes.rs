//! The way from a bucket to the server that keeps it.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Error, Landed, Result, Token};
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::time::Instant;

use crate::config::{RedisConfig, Servers};
use crate::entry::{token_from_text, token_to_args};
use crate::error::{classify, strange_answer};
use crate::keys::Bucket;
use crate::link::Link;
use crate::sentinel::Sentinels;
use crate::shared::Shared;
use crate::source::{Server, Source};

/// Sends requests to where they belong.
#[derive(Debug)]
pub(crate) struct Routes {
    link: Link,
    /// Whether a server that has become a replica has a successor to be found.
    is_followed: bool,
    shared: Arc<Shared>,
}

/// Whether the bucket is to be lifted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Lift,
    Nothing,
}

/// What came of one exchange with the server.
enum Answer<T> {
    Lifted(String, String),
    Sent(T),
}

/// How long to wait before a request is sent again that was refused.
const PAUSE: Duration = Duration::from_millis(50);

impl Routes {
    /// Connects, and proves that tokens can be minted.
    pub(crate) async fn open(config: &RedisConfig, shared: Arc<Shared>) -> Result<Self> {
        let source = match config.servers() {
            Servers::Single(address) => {
                Source::Fixed(Arc::new(Server { client: config.client_at(address)?, place: address.to_string() }))
            }
            Servers::Unix(path) => Source::Fixed(Arc::new(Server {
                client: config.client_at_socket(path.clone())?,
                place: config.place(),
            })),
            Servers::Sentinel { sentinels, service, .. } => {
                Source::Sentinels(Sentinels::start(config, sentinels, service)?)
            }
            Servers::Cluster(_) => return Err(unsupported("redis cluster")),
        };
        let is_followed = source.may_change();
        let link = Link::open(source, shared.clone()).await?;
        let routes = Self { link, is_followed, shared };
        let lifted: Result<()> =
            routes.run(Bucket::FIRST, routes.deadline(), Before::Lift, |_| std::future::ready(Ok(()))).await;
        lifted.map(|()| routes)
    }

    /// Sends a request that may change what is in a bucket, which is lifted before.
    pub(crate) async fn change<T, F, Sent>(&self, bucket: Bucket, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        self.run(bucket, self.deadline(), Before::Lift, send).await
    }

    /// Sends a request that only reads.
    pub(crate) async fn look<T, F, Sent>(&self, bucket: Bucket, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        self.run(bucket, self.deadline(), Before::Nothing, send).await
    }

    /// Lifts a bucket, and mints `count` tokens (0 or 1). What it answers is the history from now on.
    pub(crate) async fn lift(&self, bucket: Bucket, count: u8, deadline: Instant) -> Result<Token> {
        let round = self.shared.tokens.round();
        let (value, epoch) = self
            .run(bucket, deadline, Before::Nothing, |connection| lift(&self.shared, bucket, count, connection))
            .await?;
        self.adopt(bucket, &value, &epoch, round)
    }

    /// The server that keeps the bucket now, where a caller may connect to it by itself, and which
    /// connection to it is the present one.
    pub(crate) fn present_client(&self) -> Option<(u64, Client)> {
        self.link.present_client()
    }

    /// Which connection to that server is the present one.
    pub(crate) fn present_generation(&self) -> Option<u64> {
        self.link.present_generation()
    }

    /// Until when a request that is made now may take.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.timeout
    }

    /// Ends the connections for good.
    pub(crate) fn close(&self) {
        self.link.close();
    }

    async fn run<T, F, Sent>(&self, bucket: Bucket, deadline: Instant, before: Before, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        let tokens = &self.shared.tokens;
        let mut refused: Option<Error> = None;
        loop {
            // Read before there is a connection: a lift on it may count for a round before its own, never after.
            let round = tokens.round();
            let live = match self.link.present(deadline).await {
                Ok(live) => live,
                Err(error) => return Err(refused.unwrap_or(error)),
            };
            let lifts = before == Before::Lift && tokens.lifted(bucket).is_none();
            let exchange = |connection: MultiplexedConnection| async {
                if lifts {
                    let (value, epoch) = lift(&self.shared, bucket, 0, connection).await?;
                    return Ok(Answer::Lifted(value, epoch));
                }
                send(connection).await.map(Answer::Sent)
            };
            // While it is lifted, the request itself was not sent.
            let unsent = |error: Error| if lifts { error.with_landed(Landed::No) } else { error };
            match self.link.send(&live, deadline, exchange).await.map_err(unsent)? {
                Ok(Answer::Sent(answer)) => return Ok(answer),
                Ok(Answer::Lifted(value, epoch)) => {
                    self.adopt(bucket, &value, &epoch, round).map_err(unsent)?;
                }
                Err(error) if self.is_followed && is_read_only(&error) && Instant::now() + PAUSE < deadline => {
                    self.link.break_off(&live);
                    refused = Some(classify(error));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(unsent(classify(error))),
            }
        }
    }

    /// Starts on what the server says is the bucket's history.
    fn adopt(&self, bucket: Bucket, value: &str, epoch: &str, round: u64) -> Result<Token> {
        let token = token_from_text(value, epoch).ok_or_else(|| strange_answer("a token"))?;
        if self.shared.tokens.adopt(bucket, token, round) {
            tracing::warn!(redis = %self.shared.place, "the server has lost its history: tokens start a new epoch");
        }
        Ok(token)
    }
}

/// Lifts a bucket, and mints `count` tokens. Answers the value and the epoch.
async fn lift(
    shared: &Shared,
    bucket: Bucket,
    count: u8,
    mut connection: MultiplexedConnection,
) -> RedisResult<(String, String)> {
    let (floor, epoch) = token_to_args(shared.tokens.highest(bucket));
    let mut call = shared.scripts.lift.key(shared.keys.tokens(bucket));
    call.arg(shared.tokens.spare_epoch()).arg(epoch).arg(if floor == "-" { "0" } else { &floor }).arg(count);
    call.invoke_async(&mut connection).await
}

fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn unsupported(what: &str) -> Error {
    Error::new(dlock_core::ErrorKind::Unsupported, format!("{what} is not supported yet: use redis://host:port"))
}
