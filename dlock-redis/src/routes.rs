//! The way from a bucket to the server that keeps it.

use std::sync::Arc;

use dlock_core::{Error, ErrorKind, Landed, Result, Token};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult};
use tokio::time::Instant;

use crate::config::{RedisConfig, Servers};
use crate::entry::{token_from_text, token_to_args};
use crate::error::strange_answer;
use crate::keys::Bucket;
use crate::link::Link;
use crate::shared::Shared;

/// Sends requests to where they belong.
#[derive(Debug)]
pub(crate) struct Routes {
    link: Link,
    shared: Arc<Shared>,
}

impl Routes {
    /// Connects, and proves that tokens can be minted.
    pub(crate) async fn open(config: &RedisConfig, shared: Arc<Shared>) -> Result<Self> {
        let client = match config.servers() {
            Servers::Single(address) => config.client_at(address)?,
            Servers::Unix(path) => config.client_at_socket(path.clone())?,
            Servers::Sentinel { .. } => return Err(unsupported("redis sentinel")),
            Servers::Cluster(_) => return Err(unsupported("redis cluster")),
        };
        let link = Link::open(client, shared.clone()).await?;
        let routes = Self { link, shared };
        routes.ready(Bucket::FIRST, routes.deadline()).await?;
        Ok(routes)
    }

    /// Sends a request that may change what is in a bucket, which is lifted before.
    pub(crate) async fn change<T, F, Sent>(&self, bucket: Bucket, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        let deadline = self.deadline();
        self.ready(bucket, deadline).await?;
        self.run(bucket, deadline, send).await
    }

    /// Sends a request that only reads.
    pub(crate) async fn look<T, F, Sent>(&self, bucket: Bucket, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        self.run(bucket, self.deadline(), send).await
    }

    /// Lifts a bucket, and mints `count` tokens (0 or 1). What it answers is the history from now on.
    pub(crate) async fn lift(&self, bucket: Bucket, count: u8, deadline: Instant) -> Result<Token> {
        let shared = &self.shared;
        let (floor, epoch) = token_to_args(shared.tokens.highest(bucket));
        let mut call = shared.scripts.lift.key(shared.keys.tokens(bucket));
        call.arg(shared.tokens.spare_epoch()).arg(epoch).arg(if floor == "-" { "0" } else { &floor }).arg(count);
        let (call, round) = (&call, shared.tokens.round());
        let (value, epoch): (String, String) = self
            .run(bucket, deadline, |mut connection| async move { call.invoke_async(&mut connection).await })
            .await?;
        let token = token_from_text(&value, &epoch).ok_or_else(|| strange_answer("a token"))?;
        if shared.tokens.adopt(bucket, token, round) {
            tracing::warn!(redis = %shared.place, "the server has lost its history: tokens start a new epoch");
        }
        Ok(token)
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

    async fn ready(&self, bucket: Bucket, deadline: Instant) -> Result<()> {
        if self.shared.tokens.lifted(bucket).is_none() {
            // The request that this goes before was not sent.
            self.lift(bucket, 0, deadline).await.map_err(|error| error.with_landed(Landed::No))?;
        }
        Ok(())
    }

    async fn run<T, F, Sent>(&self, _bucket: Bucket, deadline: Instant, send: F) -> Result<T>
    where
        F: Fn(MultiplexedConnection) -> Sent,
        Sent: Future<Output = RedisResult<T>>,
    {
        self.link.run(deadline, send).await
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported yet: use redis://host:port"))
}
