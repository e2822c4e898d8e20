//! One lease, shared by all claims of one ttl.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Instant, Landed, Life, Result};
use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use tokio::time::Instant as Deadline;

use crate::error::{Effect, classify, timed_out};
use crate::rpc::Rpc;

/// A lease as this client knows it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    /// What the server granted, which may be more than was asked for.
    pub(crate) ttl: Duration,
    /// When the last answered request that reset the server's timer was sent.
    sent_at: Mutex<Instant>,
    /// Claims on it: registered, or just being requested.
    pub(crate) uses: AtomicUsize,
    /// Whether somebody waits to revoke it when it stays idle.
    pub(crate) idle_watched: AtomicBool,
    retired: AtomicBool,
    ended: AtomicBool,
    /// One long-lived stream; one request on it at a time, so that answers need no matching.
    keeper: tokio::sync::Mutex<Option<(LeaseKeeper, LeaseKeepAliveStream)>>,
}

impl Lease {
    /// Opens a lease of at least `ttl`; etcd counts in seconds.
    pub(crate) async fn grant(rpc: &Rpc, seconds: i64, until: Deadline) -> Result<Self> {
        let sent_at = rpc.clock.now();
        let granted = rpc
            .call(until, Effect::Write, |client| async move { client.lease_client().grant(seconds, None).await })
            .await
            // Nobody will ever keep a lease alive whose id was not learned.
            .map_err(|error| error.with_landed(Landed::No))?;
        let ttl = u64::try_from(granted.ttl()).unwrap_or(0);
        if ttl == 0 {
            return Err(Error::new(ErrorKind::Protocol, "etcd granted a lease without a ttl"));
        }
        Ok(Self {
            id: granted.id(),
            ttl: Duration::from_secs(ttl),
            sent_at: Mutex::new(sent_at),
            uses: AtomicUsize::new(0),
            idle_watched: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            keeper: tokio::sync::Mutex::new(None),
        })
    }

    /// What every claim on the lease lives by.
    pub(crate) fn life(&self) -> Life {
        Life::new(*self.sent_at.lock().expect("no panic while locked"), self.ttl)
    }

    /// Whether the server may have ended it by now, for all that this client knows.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.life().valid_until().is_none_or(|end| now >= end)
    }

    /// Whether less than half of its life is left.
    pub(crate) fn is_worn(&self, now: Instant) -> bool {
        now.since(self.life().sent_at) > self.ttl / 2
    }

    /// No new claims: a request that is in doubt may still bring one to life on it.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub(crate) fn takes_claims(&self) -> bool {
        !self.is_retired() && !self.is_ended()
    }

    /// The server does not know it any more.
    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.uses.load(Ordering::SeqCst) == 0
    }

    /// Resets the server's timer. `Lost` when the server does not know the lease.
    pub(crate) async fn keep_alive(&self, rpc: &Rpc, until: Deadline) -> Result<Life> {
        let result = match tokio::time::timeout_at(until, self.ping(rpc)).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(Effect::Write)),
        };
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost) {
            self.set_ended();
        }
        result
    }

    async fn ping(&self, rpc: &Rpc) -> Result<Life> {
        let mut keeper = self.keeper.lock().await;
        // Taken out, and put back only after an answer: a stream with a request unanswered would
        // give the next one an answer that is not its own.
        let (sent_at, stream) = match keeper.take() {
            Some((mut requests, mut answers)) => {
                let sent_at = rpc.clock.now();
                requests.keep_alive().await.map_err(|error| classify(error, Effect::Write))?;
                let answer = answers.message().await.map_err(|error| classify(error, Effect::Write))?;
                let answer = answer.ok_or_else(|| {
                    Error::new(ErrorKind::Unavailable, "etcd closed the keep-alive stream").with_landed(Landed::Maybe)
                })?;
                if answer.ttl() <= 0 {
                    return Err(Error::new(ErrorKind::Lost, "the etcd lease is gone"));
                }
                (sent_at, (requests, answers))
            }
            // Opening a stream sends its first request and awaits the answer to it.
            None => {
                let sent_at = rpc.clock.now();
                (sent_at, rpc.lease_client().keep_alive(self.id).await.map_err(|error| classify(error, Effect::Write))?)
            }
        };
        *keeper = Some(stream);
        let mut newest = self.sent_at.lock().expect("no panic while locked");
        *newest = sent_at.max(*newest);
        drop(newest);
        Ok(self.life())
    }

    /// Ends it, and every key on it.
    pub(crate) async fn revoke(&self, rpc: &Rpc, until: Deadline) -> Result<()> {
        let id = self.id;
        let answer =
            rpc.call(until, Effect::Write, |client| async move { client.lease_client().revoke(id).await }).await;
        match answer {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Lost => {}
            Err(error) => return Err(error),
        }
        self.set_ended();
        Ok(())
    }
}
