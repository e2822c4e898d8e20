use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Clock, Error, ErrorKind, Instant, Landed, Result, Token};
use dlock_testkit::chaos::{Holding, Locker};
use etcd_client::{Client, LockOptions};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::unanswered;
use crate::etcd;

/// How long a request may take that does not wait for its turn.
const TIMEOUT: Duration = Duration::from_secs(5);

/// etcd's own lock: the server queues and grants, a lease that is kept alive holds. The holder
/// believes until its release, or until keeping its lease alive fails.
pub(crate) struct EtcdLock {
    url: String,
    client: Mutex<Client>,
    namespace: String,
    ttl: Duration,
    /// By owner: for etcd one lease is one owner, which holds at once what it holds already.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

impl EtcdLock {
    /// A client of the cluster at `etcd://[user:password@]host:port[,host:port…]`.
    pub(crate) async fn connect(url: &str, namespace: &str, ttl: Duration) -> Result<Self> {
        let client = etcd::connect(url)
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, "cannot connect to etcd").with_source(error))?;
        let (url, namespace) = (url.to_owned(), namespace.to_owned());
        Ok(Self { url, client: Mutex::new(client), namespace, ttl, sessions: Mutex::default() })
    }

    async fn session(&self, owner: &str) -> Result<Arc<Session>> {
        let known = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(owner).cloned();
        if let Some(session) = known.filter(|session| session.is_alive()) {
            return Ok(session);
        }
        let session = Arc::new(self.open_session().await?);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(owner.to_owned(), session.clone());
        Ok(session)
    }

    /// Connects anew where it fails, for the next one.
    async fn open_session(&self) -> Result<Session> {
        let opened = Session::open(self.client(), self.ttl).await;
        if opened.is_err()
            && let Ok(client) = etcd::connect(&self.url).await
        {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        }
        opened
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Locker for EtcdLock {
    async fn acquire(&self, owner: &str, name: &str, bound: Duration) -> Result<Option<Box<dyn Holding>>> {
        let session = self.session(owner).await?;
        let attempt = Attempt(Some(session.clone()));
        let options = LockOptions::new().with_lease(session.lease);
        let mut client = session.client.clone();
        let locking = client.lock(format!("{}-etcd-lock/{name}", self.namespace), Some(options));
        // A look without waiting is not offered: the shortest wait stands for it.
        match timeout(bound.max(Duration::from_millis(50)), locking).await {
            Ok(Ok(locked)) => {
                attempt.succeeded();
                let client = session.client.clone();
                Ok(Some(Box::new(Held { client, session, key: locked.key().to_vec() })))
            }
            Ok(Err(error)) => Err(unanswered("the lock request", error)),
            Err(_) => Ok(None),
        }
    }

    async fn close(&self) -> Result<()> {
        let sessions = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        for session in sessions.into_values() {
            session.end();
        }
        Ok(())
    }
}

impl fmt::Debug for EtcdLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLock").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// A lease that is kept alive until that fails, or until it is ended.
struct Session {
    client: Client,
    lease: i64,
    over: Arc<watch::Sender<Option<(String, Instant)>>>,
    keeper: AbortHandle,
}

impl Session {
    async fn open(mut client: Client, ttl: Duration) -> Result<Self> {
        let seconds = i64::try_from(ttl.as_secs_f64().ceil() as u64).unwrap_or(i64::MAX);
        // Nothing can ever stand on a lease whose id was not learned.
        let granted = timeout(TIMEOUT, client.lease_grant(seconds, None))
            .await
            .map_err(|elapsed| unanswered("the lease", elapsed).with_landed(Landed::No))?
            .map_err(|error| unanswered("the lease", error).with_landed(Landed::No))?;
        let over = Arc::new(watch::Sender::new(None));
        let keeping = keep_alive(client.clone(), granted.id(), ttl / 3, over.clone());
        let keeper = tokio::spawn(keeping).abort_handle();
        Ok(Self { client, lease: granted.id(), over, keeper })
    }

    fn is_alive(&self) -> bool {
        self.over.borrow().is_none()
    }

    /// Stops keeping it alive, and revokes it in the background. With it goes whatever stands on it.
    fn end(&self) {
        self.keeper.abort();
        finish(&self.over, "its session was ended".to_owned());
        let (mut client, lease) = (self.client.clone(), self.lease);
        // What is not revoked lapses.
        tokio::spawn(async move { drop(timeout(TIMEOUT, client.lease_revoke(lease)).await) });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lease", &self.lease).field("over", &*self.over.borrow()).finish()
    }
}

async fn keep_alive(
    mut client: Client,
    lease: i64,
    every: Duration,
    over: Arc<watch::Sender<Option<(String, Instant)>>>,
) {
    let kept = async {
        let (mut requests, mut answers) = client.lease_keep_alive(lease).await?;
        loop {
            tokio::time::sleep(every).await;
            requests.keep_alive().await?;
            match answers.message().await? {
                Some(answer) if answer.ttl() > 0 => {}
                Some(_) => return Ok("its lease is gone"),
                None => return Ok("the keep-alive stream was closed"),
            }
        }
    };
    let why: std::result::Result<&str, etcd_client::Error> = kept.await;
    finish(&over, why.map_or_else(|error| format!("keep-alive: {error}"), str::to_owned));
}

fn finish(over: &watch::Sender<Option<(String, Instant)>>, why: String) {
    over.send_if_modified(|over| {
        let is_first = over.is_none();
        over.get_or_insert_with(|| (why, Clock::system().now()));
        is_first
    });
}

/// An acquire under way. Given up, it takes the session along: the server may have granted it.
struct Attempt(Option<Arc<Session>>);

impl Attempt {
    fn succeeded(mut self) {
        self.0 = None;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.end();
        }
    }
}

struct Held {
    client: Client,
    session: Arc<Session>,
    key: Vec<u8>,
}

#[async_trait]
impl Holding for Held {
    fn token(&self) -> Option<Token> {
        None
    }

    fn is_held(&self) -> bool {
        self.session.is_alive()
    }

    fn valid_until(&self) -> Option<Instant> {
        self.session.over.borrow().as_ref().map(|(_, at)| *at)
    }

    async fn lost(&self) -> (String, Instant) {
        let mut over = self.session.over.subscribe();
        let lost = over.wait_for(Option::is_some).await.expect("the session has the sender");
        lost.clone().expect("it waited for it")
    }

    async fn release(mut self: Box<Self>) -> Result<()> {
        let answer = timeout(TIMEOUT, self.client.unlock(self.key.clone())).await;
        let error = match answer {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => unanswered("the release", error),
            Err(elapsed) => unanswered("the release", elapsed),
        };
        self.session.end();
        Err(error)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("key", &String::from_utf8_lossy(&self.key))
            .field("session", &self.session)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use dlock_core::ClaimId;
    use dlock_testkit::servers;

    use super::*;

    const TTL: Duration = Duration::from_secs(2);
    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(30);

    async fn locker() -> Option<EtcdLock> {
        let server = servers::etcd().await.ok()?;
        Some(EtcdLock::connect(server.url(), &ClaimId::random().to_string(), TTL).await.unwrap())
    }

    #[tokio::test]
    async fn one_holds_until_its_release() {
        let Some(locker) = locker().await else { return };
        let held = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        assert!(held.is_held() && held.valid_until().is_none() && held.token().is_none());
        assert!(locker.acquire("b", "name", SHORT).await.unwrap().is_none());
        // Kept alive for longer than the ttl.
        tokio::time::sleep(TTL * 2).await;
        assert!(locker.acquire("b", "name", SHORT).await.unwrap().is_none());
        assert!(held.is_held());
        held.release().await.unwrap();
        locker.acquire("b", "name", LONG).await.unwrap().unwrap().release().await.unwrap();
        locker.close().await.unwrap();
    }

    #[tokio::test]
    async fn an_acquire_that_is_given_up_leaves_nothing() {
        let Some(locker) = locker().await else { return };
        let held = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        assert!(locker.acquire("b", "name", SHORT).await.unwrap().is_none());
        timeout(SHORT, locker.acquire("c", "name", LONG)).await.unwrap_err();
        held.release().await.unwrap();
        locker.acquire("d", "name", LONG).await.unwrap().unwrap().release().await.unwrap();
        locker.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_holder_hears_of_its_loss_from_its_keep_alive() {
        let Some(locker) = locker().await else { return };
        let held = locker.acquire("a", "name", LONG).await.unwrap().unwrap();
        let lease = locker.session("a").await.unwrap().lease;
        locker.client().lease_revoke(lease).await.unwrap();
        let (why, at) = timeout(LONG, held.lost()).await.unwrap();
        assert!(!held.is_held() && held.valid_until() == Some(at), "{why}");
        locker.close().await.unwrap();
    }
}
