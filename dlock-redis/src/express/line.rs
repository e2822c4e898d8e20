use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dlock_core::{Error, ErrorKind, Landed, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisFuture, RedisResult};
use tokio::runtime::Id;
use tokio::sync::Notify;

use crate::error::{classify_connecting, timed_out};

/// One connection, and the runtime that its driver runs on.
pub(super) struct Line {
    pub(super) runtime: Id,
    /// Which connection of the link it was made beside: a link that is rebuilt may lead to another server.
    pub(super) generation: u64,
    pub(super) connection: MultiplexedConnection,
    /// How many requests are under way.
    waiting: AtomicU64,
    answered: AtomicU64,
    /// What stood in `answered` at the last look, and one more, if there were any requests under way.
    looked_at: AtomicU64,
    /// Rung when it is given up: whoever waits for an answer on it ends.
    cut: Notify,
    is_cut: AtomicBool,
}

impl Line {
    pub(super) fn new(runtime: Id, generation: u64, connection: MultiplexedConnection) -> Self {
        Self {
            runtime,
            generation,
            connection,
            waiting: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            cut: Notify::new(),
            is_cut: AtomicBool::new(false),
        }
    }

    /// Waits for an answer on it.
    ///
    /// # Errors
    /// `Unavailable` when it is given up before.
    pub(super) async fn answer<T>(&self, place: &str, request: RedisFuture<'_, T>) -> Result<RedisResult<T>> {
        let _waiting = Waiting::on(self);
        let cut = self.cut.notified();
        if self.is_cut.load(Ordering::Acquire) {
            return Err(timed_out(place).with_landed(Landed::No));
        }
        let answer = tokio::select! {
            biased;
            answer = request => answer,
            () = cut => return Err(timed_out(place)),
        };
        self.answered.fetch_add(1, Ordering::AcqRel);
        Ok(answer)
    }

    /// Whether nothing was answered since the last look, at which answers were awaited already.
    pub(super) fn stands_still(&self) -> bool {
        let (waiting, answered) = (self.waiting.load(Ordering::Acquire), self.answered.load(Ordering::Acquire));
        let looked_at = if waiting > 0 { answered + 1 } else { 0 };
        self.looked_at.swap(looked_at, Ordering::AcqRel) == looked_at && looked_at > 0
    }

    /// Whether anybody waits for an answer; ends it if not.
    pub(super) fn is_awaited(&self) -> bool {
        let is_awaited = self.waiting.load(Ordering::Acquire) > 0;
        if !is_awaited {
            // Somebody may be about to.
            self.cut();
        }
        is_awaited
    }

    /// Whoever waits for an answer on it ends.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.cut.notify_waiters();
    }
}

/// Connects, and proves that this is the server that the keeper is connected to: one address may lead to
/// several, or to another than before, and then a name would be taken on one and renewed on the other.
pub(super) async fn connect(client: &Client, inbox: &str) -> Result<MultiplexedConnection> {
    // No timeout of the library's: the runtime may have no timer.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(classify_connecting)?;
    // Only there somebody listens. What is sent is ignored.
    let listeners = redis::cmd("PUBLISH").arg(inbox).arg("").query_async::<u64>(&mut connection).await;
    match listeners.map_err(classify_connecting)? {
        0 => Err(Error::new(ErrorKind::Unavailable, "this is another server than the keeper's")),
        _ => Ok(connection),
    }
}

/// A request that is under way, until its caller has the answer or goes away.
struct Waiting<'a>(&'a Line);

impl<'a> Waiting<'a> {
    fn on(line: &'a Line) -> Self {
        line.waiting.fetch_add(1, Ordering::AcqRel);
        Self(line)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
