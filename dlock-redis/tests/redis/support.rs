//! Servers, clients and a raw connection for surgery.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{
    Claim, ClaimId, Clock, Connect, ConnectContext, Event, Gone, Grant, LockBackend, LockName, LockState, Metadata,
    Mode, Namespace, Queue, Renewal, Requested, Why, Withdrawn,
};
use dlock_redis::RedisConfig;
use dlock_testkit::servers::{Redis, RedisBuilder};
use futures::StreamExt;
use futures::stream::BoxStream;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, InfoDict, RedisResult};

/// Long enough for a busy machine; reached only by a failure.
pub(crate) const BOUND: Duration = Duration::from_secs(20);
/// A ttl that no test outlives.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A server of the test's own.
pub(crate) struct World {
    pub(crate) server: Redis,
}

/// One backend and what it was told.
pub(crate) struct Client {
    pub(crate) backend: Arc<dyn LockBackend>,
    events: BoxStream<'static, Event>,
}

impl World {
    /// `None` where no server can be had; that was printed then.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(Redis::builder()).await
    }

    pub(crate) async fn start_with(builder: RedisBuilder) -> Option<Self> {
        Redis::installed().ok()?;
        Some(Self { server: builder.start().await })
    }

    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig::from_url(&self.server.url()).unwrap().with_request_timeout(Duration::from_secs(5))
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.config()).await.unwrap()
    }

    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.server.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(BOUND));
        client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
    }

    /// Runs a command given as words.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        command.query_async(&mut self.raw().await).await.unwrap()
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.run(&["KEYS", "*"]).await;
        keys.sort();
        keys
    }

    /// How often the server ran `command` since `CONFIG RESETSTAT`.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let stats: InfoDict = self.run(&["INFO", "commandstats"]).await;
        let stat: Option<String> = stats.get(&format!("cmdstat_{command}"));
        stat.and_then(|stat| stat.strip_prefix("calls=")?.split(',').next()?.parse().ok()).unwrap_or(0)
    }
}

impl Client {
    pub(crate) async fn connect(config: RedisConfig) -> dlock_core::Result<Self> {
        let context = ConnectContext { namespace: Namespace::default(), clock: Clock::system() };
        let backend = Box::new(config).connect(context).await?;
        let events = backend.events();
        Ok(Self { backend, events })
    }

    pub(crate) async fn hold(&self, claim: &Claim) -> Grant {
        match self.backend.request(claim, Queue::Yes).await.unwrap() {
            Requested::Held(grant, _) => grant,
            other => panic!("not held: {other:?}"),
        }
    }

    pub(crate) async fn queue(&self, claim: &Claim) {
        let requested = self.backend.request(claim, Queue::Yes).await.unwrap();
        assert!(matches!(requested, Requested::Queued(_)), "not queued: {requested:?}");
    }

    pub(crate) async fn release(&self, claim: &Claim) {
        assert_eq!(self.backend.withdraw(&claim.to_ref(), Why::Release).await.unwrap(), Withdrawn::Removed);
    }

    pub(crate) async fn renew(&self, claim: &Claim) -> Renewal {
        self.backend.renew(&[claim.to_ref()]).await.remove(0).unwrap()
    }

    pub(crate) async fn inspect(&self, name: &str) -> LockState {
        self.backend.inspect(&name.parse::<LockName>().unwrap()).await.unwrap()
    }

    pub(crate) async fn event(&mut self) -> Event {
        tokio::time::timeout(BOUND, self.events.next()).await.expect("an event comes").expect("events go on")
    }

    /// The next event that is about a claim.
    async fn news(&mut self) -> Event {
        loop {
            match self.event().await {
                Event::Suspect(_) => {}
                other => return other,
            }
        }
    }

    pub(crate) async fn granted(&mut self, claim: &Claim) -> Grant {
        match self.news().await {
            Event::Granted(id, grant) if id == claim.id => grant,
            other => panic!("not the grant of {}: {other:?}", claim.id),
        }
    }

    /// As [`Client::granted`], where the end of the claim's place before may be told first.
    pub(crate) async fn granted_anew(&mut self, claim: &Claim) -> Grant {
        loop {
            match self.news().await {
                Event::Granted(id, grant) if id == claim.id => return grant,
                Event::Gone(id, Gone::Absent) if id == claim.id => {}
                other => panic!("not the grant of {}: {other:?}", claim.id),
            }
        }
    }

    pub(crate) async fn gone(&mut self, claim: &Claim) {
        assert_eq!(self.news().await, Event::Gone(claim.id, Gone::Absent));
    }

    pub(crate) async fn suspect(&mut self) {
        while !matches!(self.event().await, Event::Suspect(_)) {}
    }
}

pub(crate) fn claim(name: &str, mode: Mode, ttl: Duration) -> Claim {
    let metadata = Metadata::of_this_process("tést");
    Claim { id: ClaimId::random(), name: name.parse().unwrap(), mode, ttl, metadata }
}

pub(crate) fn exclusive(name: &str) -> Claim {
    claim(name, Mode::Exclusive, LONG)
}

pub(crate) fn permit(limit: u32) -> Mode {
    Mode::Permit { limit: limit.try_into().unwrap() }
}

/// A connection to any server that asks for no login.
pub(crate) async fn connection(addr: SocketAddr) -> MultiplexedConnection {
    connect(addr).await.unwrap()
}

async fn connect(addr: SocketAddr) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{addr}"))?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(BOUND));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// The answer of such a server to a command given as words.
pub(crate) async fn ask<T: FromRedisValue>(addr: SocketAddr, words: &[&str]) -> T {
    try_to(addr, words).await.unwrap()
}

/// The same, where it may be refused.
pub(crate) async fn try_to<T: FromRedisValue>(addr: SocketAddr, words: &[&str]) -> RedisResult<T> {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connect(addr).await?).await
}

/// Whether so many clients listen at such a server.
pub(crate) async fn is_heard(addr: SocketAddr, clients: usize) -> bool {
    let channels = try_to::<Vec<String>>(addr, &["PUBSUB", "CHANNELS", "dlock:inbox:*"]).await;
    channels.is_ok_and(|channels| channels.len() == clients)
}

/// Tries until it holds.
pub(crate) async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let tried = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(BOUND, tried).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
}
