//! The operator's connections to the servers that take writes now.

use std::fmt;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncCommands, AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, InfoDict, RedisError, RedisResult,
    ScanOptions, Value,
};
use futures::TryStreamExt;

use super::address::{Address, Place, Service};

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked who takes writes: a failover may be under way.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// The operator of the service at an address.
#[derive(Clone)]
pub(super) struct Operator {
    address: Address,
}

impl Operator {
    pub(super) fn of(address: Address) -> Self {
        Self { address }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// To each server that takes writes now; in a cluster they are several.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<MultiplexedConnection>> {
        for _ in 1..ATTEMPTS {
            if let Ok(found) = self.find().await {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.find().await
    }

    async fn find(&self) -> RedisResult<Vec<MultiplexedConnection>> {
        let places = match &self.address.service {
            Service::Server => return Ok(vec![connect(&self.address.client(&self.address.places[0])?).await?]),
            Service::Sentinel(service) => {
                self.ask_any(Login::Sentinel, |connection| primary(connection, service)).await?
            }
            Service::Cluster => self.ask_any(Login::Server, owners_of_slots).await?,
        };
        let mut connections = Vec::new();
        for place in places {
            let connection = connect(&self.address.client(&place)?).await?;
            // Of what tells it, this is what the least rights allow.
            let info: InfoDict = run(&connection, &["INFO", "replication"]).await?;
            if info.get::<String>("role").is_none_or(|role| role != "master") {
                return Err((ErrorKind::Client, "a server that is to take writes follows another").into());
            }
            connections.push(connection);
        }
        Ok(connections)
    }

    /// What the first one answers that is there.
    async fn ask_any<T, F>(&self, login: Login, ask: impl Fn(MultiplexedConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut answer = Err(RedisError::from((ErrorKind::Client, "the address names nobody")));
        for place in &self.address.places {
            let client = match login {
                Login::Sentinel => self.address.sentinel_client(place)?,
                Login::Server => self.address.client(place)?,
            };
            answer = match connect(&client).await {
                Ok(connection) => ask(connection).await,
                Err(error) => Err(error),
            };
            if answer.is_ok() {
                break;
            }
        }
        answer
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("of", &self.address.places).finish_non_exhaustive()
    }
}

/// By which login a server is asked.
#[derive(Clone, Copy)]
enum Login {
    Server,
    Sentinel,
}

/// A connection with enough patience for a busy machine.
pub(super) async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Runs a command given as words.
pub(super) async fn run<T: FromRedisValue>(connection: &MultiplexedConnection, words: &[&str]) -> RedisResult<T> {
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection.clone()).await
}

/// Runs a command on a connection of its own.
pub(super) async fn order<T: FromRedisValue>(client: &Client, words: &[&str]) -> RedisResult<T> {
    run(&connect(client).await?, words).await
}

/// All keys that match, without holding up the server as KEYS does.
pub(super) async fn keys(connection: &mut MultiplexedConnection, pattern: &str) -> RedisResult<Vec<Vec<u8>>> {
    let options = ScanOptions::default().with_pattern(pattern).with_count(1000);
    let mut keys: Vec<_> = connection.scan_options(options).await?.try_collect().await?;
    // A key may be returned several times (redis.io/docs, SCAN).
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// The primary that a sentinel names.
async fn primary(connection: MultiplexedConnection, service: &str) -> RedisResult<Vec<Place>> {
    let (host, port) = run(&connection, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]).await?;
    Ok(vec![Place::Host(host, port)])
}

/// The primaries that a node of a cluster names: an entry of its answer is a first slot, a last one,
/// and nodes, the primary first, each with host and port (redis.io/commands/cluster-slots).
async fn owners_of_slots(connection: MultiplexedConnection) -> RedisResult<Vec<Place>> {
    let ranges: Vec<Vec<Value>> = run(&connection, &["CLUSTER", "SLOTS"]).await?;
    let mut places: Vec<Place> = Vec::new();
    for range in &ranges {
        let node: Vec<Value> = ::redis::from_redis_value_ref(range.get(2).unwrap_or(&Value::Nil))?;
        let part = |index: usize| node.get(index).unwrap_or(&Value::Nil);
        let place = Place::Host(::redis::from_redis_value_ref(part(0))?, ::redis::from_redis_value_ref(part(1))?);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() {
        return Err((ErrorKind::Client, "nobody owns the slots of the cluster").into());
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::{Redis, RedisCluster, RedisProgram, RedisSentinel};

    async fn primaries_at(url: &str) -> Vec<MultiplexedConnection> {
        Operator::of(Address::read(url).unwrap()).primaries().await.unwrap()
    }

    #[tokio::test]
    async fn behind_sentinels_it_finds_the_primary_that_is() {
        let Ok(()) = RedisProgram::Redis.installed() else { return };
        let servers = RedisSentinel::start().await;
        run::<()>(&primaries_at(&servers.url()).await[0], &["SET", "key", "value"]).await.unwrap();
        servers.node(0).kill();
        let primaries = primaries_at(&servers.url()).await;
        assert_eq!(primaries.len(), 1);
        run::<()>(&primaries[0], &["SET", "key", "other"]).await.unwrap();
    }

    #[tokio::test]
    async fn in_a_cluster_it_finds_the_primary_of_each_slot() {
        let Ok(()) = RedisProgram::Redis.installed() else { return };
        let nodes = RedisCluster::start().await;
        nodes.node(1).kill();
        nodes.wait_for_primary_of(8000, Some(1)).await;
        nodes.wait_until_ok().await;
        let primaries = primaries_at(&nodes.url()).await;
        assert_eq!(primaries.len(), 3);
        let mut written = 0;
        for key in 0..30 {
            for primary in &primaries {
                written += usize::from(run::<()>(primary, &["SET", &key.to_string(), "value"]).await.is_ok());
            }
        }
        assert_eq!(written, 30, "each key has one primary");
    }

    #[tokio::test]
    async fn it_logs_in_on_a_socket_and_by_tls() {
        let Ok(()) = RedisProgram::Redis.installed() else { return };
        let builders = [Redis::builder().on_unix_socket()].into_iter();
        #[cfg(feature = "tls")]
        let builders = builders.chain([Redis::builder().with_tls(), Redis::builder().with_tls_both_ways()]);
        for builder in builders {
            let server = builder.with_password("secret").with_user("locks", "pw", ["~*"]).start().await;
            let user = &primaries_at(&server.url()).await[0];
            assert!(run::<()>(user, &["SET", "key", "value"]).await.is_err(), "the user may not");
            run::<()>(&primaries_at(&server.operator_url()).await[0], &["SET", "key", "value"]).await.unwrap();
        }
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn whom_the_authority_does_not_know_is_refused() {
        let Ok(()) = RedisProgram::Redis.installed() else { return };
        let (server, other) = (Redis::builder().with_tls().start().await, Redis::builder().with_tls().start().await);
        let (url, files) = (server.url(), other.url());
        let url = format!("{}?{}", url.split('?').next().unwrap(), files.split('?').nth(1).unwrap());
        let address = Address::read(&url).unwrap();
        let refused = connect(&address.client(&address.places[0]).unwrap()).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("certificate")));
        // Without a certificate of its own a client is refused where one is asked for.
        let server = Redis::builder().with_tls_both_ways().start().await;
        let url = server.url();
        let address = Address::read(url.split("&cert-file").next().unwrap()).unwrap();
        assert!(connect(&address.client(&address.places[0]).unwrap()).await.is_err());
    }
}
