//! Redis and Valkey.

mod address;
mod alone;
mod fleet;
mod operator;
mod relays;

use std::fmt;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{InfoDict, RedisResult};
use async_trait::async_trait;
use dlock_core::{
    Claim, ClaimId, Clock, Connect, ConnectContext, Error, ErrorKind, LockName, Metadata, Mode, Namespace, Queue,
    Result,
};
use dlock_redis::RedisConfig;

use self::address::Address;
use self::fleet::Fleet;
pub use self::fleet::RedisTopology;
use self::operator::{Operator, keys, run};
use super::relayed::relayed;
use super::wait_for;
use crate::servers::{self, Redis, Skip};
use crate::{Starting, Subject, Tamper, Trouble};

const DEFAULT_PORT: u16 = 6379;

/// Redis or Valkey, by its URL.
#[derive(Clone)]
pub struct RedisSubject {
    url: String,
    config: RedisConfig,
    operator: Operator,
    /// What servers of their own cases may have instead.
    topology: Option<RedisTopology>,
    /// Those at the URL, where they are to end with the subject.
    fleet: Option<Arc<Fleet>>,
}

impl RedisSubject {
    /// What is at the URL, of any form that [`RedisConfig::from_url`] takes. The operator, who counts
    /// entries and damages them, has the login of the URL.
    ///
    /// # Errors
    /// As [`RedisConfig::from_url`].
    pub fn from_url(url: &str) -> Result<Self> {
        Self::with_operator(url, url)
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
        Ok(Self { topology: Redis::installed().is_ok().then_some(RedisTopology::Server), ..subject })
    }

    /// Servers that are started now and end with the last clone of this; and others alike for cases
    /// that need their own. It blocks, and must not be called on a runtime.
    ///
    /// # Errors
    /// A [`Skip`] when they cannot be started here.
    ///
    /// # Panics
    /// When they do not start, and when they cannot though `DLOCK_REQUIRE` names what is missing.
    pub fn start(topology: RedisTopology) -> std::result::Result<Self, Skip> {
        topology.installed()?;
        let fleet = wait_for(Fleet::start(&topology, None));
        let subject = Self::of_fleet(&fleet.url(), &fleet);
        Ok(Self { topology: Some(topology), fleet: Some(Arc::new(fleet)), ..subject })
    }

    /// A fleet by one of its URLs.
    fn of_fleet(url: &str, fleet: &Fleet) -> Self {
        Self::with_operator(url, &fleet.operator_url()).expect("a test server's url is good")
    }

    fn with_operator(url: &str, operator: &str) -> Result<Self> {
        let config = RedisConfig::from_url(url)?;
        let address = Address::read(operator).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "the operator of the suite cannot read the redis url")
        })?;
        Ok(Self { url: url.to_owned(), config, operator: Operator::of(address), topology: None, fleet: None })
    }

    async fn primaries(&self) -> Vec<MultiplexedConnection> {
        self.operator.primaries().await.expect("the servers are there")
    }

    /// Where a name that is claimed is kept: the server, and what its keys begin with.
    async fn place_of(&self, namespace: &Namespace, name: &LockName) -> Option<(MultiplexedConnection, String)> {
        let pattern = format!("{}:{{*}}:name:{}", literal(namespace.as_str()), literal(name.as_str()));
        for mut connection in self.primaries().await {
            let found = keys(&mut connection, &pattern).await.expect("the server obeys");
            // The pattern also matches names that look like the end of a key.
            let prefix = found.iter().find_map(|key| {
                let prefix = std::str::from_utf8(key).ok()?.strip_suffix(&format!(":name:{name}"))?;
                let bucket = prefix.strip_prefix(&format!("{namespace}:{{"))?.strip_suffix('}')?;
                bucket.bytes().all(|byte| byte.is_ascii_digit()).then(|| prefix.to_owned())
            });
            if let Some(prefix) = prefix {
                return Some((connection, prefix));
            }
        }
        None
    }

    /// Claims a name, and leaves it at that: only the adapter knows where it keeps which name.
    async fn claim(&self, namespace: &Namespace, name: &LockName) {
        let context = ConnectContext { namespace: namespace.clone(), clock: Clock::system() };
        let backend = self.client().connect(context).await.expect("the servers take one more client");
        let claim = Claim {
            id: ClaimId::random(),
            name: name.clone(),
            mode: Mode::Exclusive,
            ttl: backend.info().ttl.clamp(self.ttl() * 10),
            metadata: Metadata::of_this_process("operator"),
        };
        backend.request(&claim, Queue::No).await.expect("the service answers");
        backend.close().await.expect("a client can be closed");
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
        if matches!(trouble, Trouble::ConnectionsReset | Trouble::AnswersLost) {
            return match self.operator.address().can_be_relayed() {
                true => relayed(&self.url, DEFAULT_PORT, trouble, Self::from_url),
                false => relays::relayed(self.fleet.clone()?, trouble),
            };
        }
        alone::alone(self.topology.clone()?, trouble)
    }

    async fn version(&self) -> Option<String> {
        let primaries = self.operator.primaries().await.ok()?;
        let info: InfoDict = run(primaries.first()?, &["INFO", "server"]).await.ok()?;
        // Valkey also says which Redis it stands for.
        let named = |name: &str| Some(format!("{name} {}", info.get::<String>(&format!("{name}_version"))?));
        named("valkey").or_else(|| named("redis"))
    }

    async fn wipe(&self, prefix: &str) -> Result<()> {
        let wiped = async {
            for mut connection in self.operator.primaries().await? {
                let keys = keys(&mut connection, &format!("{}*", literal(prefix))).await?;
                for some in keys.chunks(500) {
                    // A command on several keys would need them to be in one slot of a cluster.
                    let mut deletes = ::redis::pipe();
                    some.iter().for_each(|key| {
                        deletes.del(key).ignore();
                    });
                    deletes.query_async::<()>(&mut connection).await?;
                }
            }
            RedisResult::Ok(())
        };
        wiped.await.map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))
    }
}

#[async_trait]
impl Tamper for RedisSubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        let Some((connection, prefix)) = self.place_of(namespace, name).await else { return };
        let keys = ["name", "order", "due"].map(|kind| format!("{prefix}:{kind}:{name}"));
        run::<()>(&connection, &["DEL", &keys[0], &keys[1], &keys[2]]).await.expect("the server obeys");
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        let mut place = self.place_of(namespace, name).await;
        if place.is_none() {
            self.claim(namespace, name).await;
            place = self.place_of(namespace, name).await;
        }
        let (connection, prefix) = place.expect("a name that was claimed is kept somewhere");
        run::<()>(&connection, &["SET", &format!("{prefix}:name:{name}"), "garbage"]).await.expect("the server obeys");
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        let mut count = 0;
        for mut connection in self.primaries().await {
            let pattern = format!("{}:{{*}}:*:*", literal(namespace.as_str()));
            count += keys(&mut connection, &pattern).await.expect("the server obeys").len();
        }
        count
    }
}

impl fmt::Debug for RedisSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisSubject").field(&self.config).finish()
    }
}

/// Text that stands for itself in a pattern (redis.io/commands/keys).
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
