use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{ClaimId, Clock, Error, ErrorKind, Instant, Result, Token};
use dlock_testkit::chaos::{Holding, Locker};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};

use super::unanswered;

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two attempts to connect, at the longest.
const RECONNECT: Duration = Duration::from_millis(200);

/// The pause between two attempts to acquire, at the longest.
const POLL_MS: u64 = 20;

/// <https://redis.io/docs/latest/commands/set/> gives this script with the pattern.
const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

/// `SET key value NX PX ttl`, polled; released by comparing and deleting; never renewed.
#[derive(Clone)]
pub(crate) struct SetNx {
    connection: ConnectionManager,
    namespace: String,
    ttl: Duration,
    belief: Belief,
}

/// What a holder makes of the ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Nothing: it holds until it releases.
    UntilRelease,
    /// It holds until the ttl has passed since the server's answer came.
    UntilTtl,
}

impl SetNx {
    /// A client of the server at `url`.
    pub(crate) async fn connect(url: &str, namespace: &str, ttl: Duration, belief: Belief) -> Result<Self> {
        let client = Client::open(url).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("no url of a redis server: {error}")).with_source(error)
        })?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(TIMEOUT))
            .set_connection_timeout(Some(TIMEOUT))
            .set_max_delay(RECONNECT)
            .set_number_of_retries(usize::MAX);
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, "cannot connect to redis").with_source(error))?;
        Ok(Self { connection, namespace: namespace.to_owned(), ttl, belief })
    }

    async fn try_set(&self, key: &str, value: &str) -> redis::RedisResult<bool> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).arg("NX").arg("PX").arg(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX));
        set.query_async(&mut self.connection.clone()).await
    }
}

#[async_trait]
impl Locker for SetNx {
    async fn acquire(&self, _owner: &str, name: &str, bound: Duration) -> Result<Option<Box<dyn Holding>>> {
        let key = format!("set-nx:{}:{name}", self.namespace);
        let value = ClaimId::random().to_string();
        let clock = Clock::system();
        let give_up_at = clock.now() + bound;
        let mut failed = None;
        loop {
            match self.try_set(&key, &value).await {
                Ok(true) => {
                    let until = clock.now() + self.ttl;
                    return Ok(Some(Box::new(Held { lock: self.clone(), key, value, until })));
                }
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
            if clock.now() >= give_up_at {
                return failed.map_or(Ok(None), |error| Err(unanswered("SET", error)));
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=POLL_MS))).await;
        }
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for SetNx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetNx").field("ttl", &self.ttl).field("belief", &self.belief).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Held {
    lock: SetNx,
    key: String,
    value: String,
    /// The answer's time and the ttl.
    until: Instant,
}

#[async_trait]
impl Holding for Held {
    fn token(&self) -> Option<Token> {
        None
    }

    fn is_held(&self) -> bool {
        self.valid_until().is_none_or(|until| Clock::system().now() < until)
    }

    fn valid_until(&self) -> Option<Instant> {
        match self.lock.belief {
            Belief::UntilRelease => None,
            Belief::UntilTtl => Some(self.until),
        }
    }

    async fn lost(&self) -> (String, Instant) {
        match self.valid_until() {
            None => std::future::pending().await,
            Some(until) => {
                Clock::system().sleep_until(until).await;
                ("its ttl has passed".to_owned(), until)
            }
        }
    }

    async fn release(self: Box<Self>) -> Result<()> {
        let script = Script::new(RELEASE);
        let mut release = script.key(&self.key);
        let mut connection = self.lock.connection.clone();
        let deleted: u32 = release
            .arg(&self.value)
            .invoke_async(&mut connection)
            .await
            .map_err(|error| unanswered("the release", error))?;
        if deleted == 0 {
            return Err(Error::new(ErrorKind::Lost, "its key is gone, or another's"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dlock_testkit::servers;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    async fn locker(ttl: Duration, belief: Belief) -> Option<SetNx> {
        let server = servers::redis().await.ok()?;
        let namespace = ClaimId::random().to_string();
        Some(SetNx::connect(server.url(), &namespace, ttl, belief).await.unwrap())
    }

    #[tokio::test]
    async fn one_holds_until_its_release() {
        let Some(locker) = locker(LONG, Belief::UntilRelease).await else { return };
        let held = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        assert!(held.is_held() && held.valid_until().is_none() && held.token().is_none());
        assert!(locker.acquire("b", "name", Duration::from_millis(50)).await.unwrap().is_none());
        locker.acquire("b", "other", LONG).await.unwrap().unwrap().release().await.unwrap();
        held.release().await.unwrap();
        locker.acquire("b", "name", LONG).await.unwrap().unwrap().release().await.unwrap();
    }

    #[tokio::test]
    async fn it_is_not_renewed_and_a_late_release_touches_nobody() {
        let Some(locker) = locker(Duration::from_millis(300), Belief::UntilRelease).await else { return };
        let first = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        let second = locker.acquire("b", "name", LONG).await.unwrap().unwrap();
        assert!(first.is_held(), "nobody tells it");
        assert!(first.release().await.is_err());
        drop(second);
    }

    #[tokio::test]
    async fn by_its_own_clock_it_ends_with_the_ttl() {
        let Some(locker) = locker(Duration::from_millis(300), Belief::UntilTtl).await else { return };
        let held = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        let (_, at) = held.lost().await;
        assert!(!held.is_held() && held.valid_until() == Some(at));
    }
}
