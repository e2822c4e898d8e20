//! Redis and Valkey.

mod alone;

use std::fmt;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, FromRedisValue, InfoDict, IntoConnectionInfo, ProtocolVersion, RedisResult,
};
use async_trait::async_trait;
use dlock_core::{Connect, Error, ErrorKind, LockName, Namespace, Result};
use dlock_redis::RedisConfig;

use super::relayed::relayed;
use super::wait_for;
use crate::servers::{self, Redis, Skip};
use crate::{Starting, Subject, Tamper, Trouble};

const DEFAULT_PORT: u16 = 6379;

/// A Redis or Valkey server, by its URL.
#[derive(Clone)]
pub struct RedisSubject {
    url: String,
    config: RedisConfig,
    /// For the operator's hand.
    client: Client,
    /// Whether cases may have servers of their own instead.
    starts_others: bool,
}

impl RedisSubject {
    /// The server at `redis://[[user]:password@]host[:port][/database]`.
    ///
    /// # Errors
    /// As [`RedisConfig::from_url`].
    pub fn from_url(url: &str) -> Result<Self> {
        let config = RedisConfig::from_url(url)?;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let info = format!("redis://{rest}").into_connection_info().map_err(error)?;
        // Redis judges a login by the protocol it is made in: the operator's must do as the client's does.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(error)?;
        Ok(Self { url: url.to_owned(), config, client, starts_others: false })
    }

    /// The server that the tests of a process share, see [`servers::redis`]; and servers for cases
    /// that need their own, where Redis is installed. It blocks, and must
    /// not be called on a runtime.
    ///
    /// # Errors
    /// A [`Skip`] when there is none.
    ///
    /// # Panics
    /// As [`servers::redis`].
    pub fn shared() -> std::result::Result<Self, Skip> {
        let server = wait_for(servers::redis())?;
        let subject = Self::from_url(server.url()).expect("the test server's url is good");
        Ok(Self { starts_others: Redis::installed().is_ok(), ..subject })
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let patience = Duration::from_secs(10);
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = self.connection().await.expect("the server is there");
        command.query_async(&mut connection).await.expect("the server obeys")
    }

    /// All keys that match, without holding up the server as KEYS does.
    async fn keys(connection: &mut MultiplexedConnection, pattern: &str) -> RedisResult<Vec<Vec<u8>>> {
        let (mut keys, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut scan = ::redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
            let (next, part): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
            keys.extend(part);
            if next == 0 {
                // A key may be returned several times (redis.io/docs, SCAN).
                keys.sort();
                keys.dedup();
                return Ok(keys);
            }
            cursor = next;
        }
    }
}

#[async_trait]
impl Subject for RedisSubject {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(self.config.clone())
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }

    fn alone(&self, trouble: Trouble) -> Option<Starting> {
        relayed(&self.url, DEFAULT_PORT, trouble, Self::from_url)
            .or_else(|| if self.starts_others { alone::alone(trouble) } else { None })
    }

    async fn version(&self) -> Option<String> {
        let mut connection = self.connection().await.ok()?;
        let info: InfoDict = ::redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
        // Valkey also says which Redis it stands for.
        let named = |name: &str| Some(format!("{name} {}", info.get::<String>(&format!("{name}_version"))?));
        named("valkey").or_else(|| named("redis"))
    }

    async fn wipe(&self, prefix: &str) -> Result<()> {
        let mut connection = self.connection().await.map_err(error)?;
        // What namespaces are made of stands for itself in a pattern.
        let keys = Self::keys(&mut connection, &format!("{prefix}*")).await.map_err(error)?;
        for some in keys.chunks(500) {
            ::redis::cmd("DEL").arg(some).query_async::<()>(&mut connection).await.map_err(error)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Tamper for RedisSubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        let keys = ["name", "order", "due"].map(|kind| format!("{namespace}:{{0}}:{kind}:{name}"));
        self.run::<()>(&["DEL", &keys[0], &keys[1], &keys[2]]).await;
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        self.run::<()>(&["SET", &format!("{namespace}:{{0}}:name:{name}"), "garbage"]).await;
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        let mut connection = self.connection().await.expect("the server is there");
        let keys = Self::keys(&mut connection, &format!("{namespace}:{{0}}:*:*")).await;
        keys.expect("the server obeys").len()
    }
}

impl fmt::Debug for RedisSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisSubject").field(&self.config).finish()
    }
}

fn error(error: ::redis::RedisError) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}
