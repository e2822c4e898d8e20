//! One lease, shared by all claims of one ttl.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Instant, Life, Result};
use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use tokio::time::Instant as Deadline;

use crate::error::{Effect, Failure, Remedy, timed_out};
use crate::members::Present;
use crate::rpc::Rpc;

/// A lease as this client knows it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    /// What the server granted, which may be more than was asked for.
    pub(crate) ttl: Duration,
    /// When the last answered request that reset the server's timer was sent.
    sent_at: Mutex<Instant>,
    /// Claims on it: registered, or just being requested. [`CLOSED`] once there are none for ever.
    uses: AtomicUsize,
    /// Whether somebody waits to revoke it when it stays idle.
    pub(crate) idle_watched: AtomicBool,
    retired: AtomicBool,
    ended: AtomicBool,
    /// One long-lived stream; one request on it at a time, so that answers need no matching.
    stream: tokio::sync::Mutex<Option<Stream>>,
}

/// It may be on its way to being revoked.
const CLOSED: usize = usize::MAX;

/// A keep-alive that was answered. It counts once it is known that whoever answered led then.
///
/// A leader that is stuck, or cut off and not yet aware of it, answers keep-alives though leases end
/// under the next one (before etcd 3.4.31 and 3.5.13 for as long as it is stuck). So each is followed
/// by a read that a majority answers: in the same term, it was the same leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptAlive {
    sent_at: Instant,
    term: u64,
}

/// A keep-alive stream to the member that was present in its generation.
#[derive(Debug)]
struct Stream {
    generation: u64,
    requests: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

impl Lease {
    /// Opens a lease of at least `ttl`; etcd counts in seconds.
    pub(crate) async fn grant(rpc: &Rpc, seconds: i64, until: Deadline) -> Result<Self> {
        let sent_at = rpc.clock.now();
        let granted = rpc
            // Nobody will ever keep a lease alive whose id was not learned.
            .call(until, Effect::Repeatable, |client| async move { client.lease_client().grant(seconds, None).await })
            .await?;
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
            stream: tokio::sync::Mutex::new(None),
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

    /// Whether it was kept alive only lately: claims that came to it at different times are renewed
    /// together from then on.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        !self.is_ended() && now.since(self.life().sent_at) < self.ttl / 6
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
        [0, CLOSED].contains(&self.uses.load(Ordering::SeqCst))
    }

    /// One claim more, unless it is closed.
    pub(crate) fn enter(&self) -> bool {
        let more = |uses| (uses != CLOSED).then(|| uses + 1);
        self.uses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// One claim less; answers whether it was the last one.
    pub(crate) fn leave(&self) -> bool {
        self.uses.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Closes it, if it is idle; answers whether it is closed. A claim that came after the request to
    /// revoke it would be held, and end when that arrives.
    pub(crate) fn close_if_idle(&self) -> bool {
        let closed = self.uses.compare_exchange(0, CLOSED, Ordering::SeqCst, Ordering::SeqCst);
        matches!(closed, Ok(_) | Err(CLOSED))
    }

    /// Resets the server's timer, and makes sure of it. `Lost` when the server does not know the lease.
    pub(crate) async fn renew(&self, rpc: &Rpc, until: Deadline) -> Result<Life> {
        let kept_alive = self.keep_alive(rpc, until).await?;
        self.confirm(kept_alive, rpc.term(until).await?)
    }

    /// The keep-alive counts if the leader of this term was asked after it and still led.
    pub(crate) fn confirm(&self, kept_alive: KeptAlive, term: u64) -> Result<Life> {
        if kept_alive.term != term {
            let message = "the etcd members have changed their leader: renew the lease with the new one";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let mut newest = self.sent_at.lock().expect("no panic while locked");
        *newest = kept_alive.sent_at.max(*newest);
        drop(newest);
        Ok(self.life())
    }

    /// Asks for more time. `Lost` when the server does not know the lease.
    ///
    /// Within the time that is left of its life, several members may be asked: whoever answers, it is
    /// the leader who renews, and the life counts from when the request was sent that was answered.
    pub(crate) async fn keep_alive(&self, rpc: &Rpc, until: Deadline) -> Result<KeptAlive> {
        let until = match self.life().valid_until().map(|end| end.since(rpc.clock.now())) {
            Some(left) if !left.is_zero() => until.min(Deadline::now() + left),
            _ => until,
        };
        let Ok(mut stream) = tokio::time::timeout_at(until, self.stream.lock()).await else {
            return Err(timed_out(Effect::Repeatable));
        };
        let mut patience = rpc.patience(until);
        let answered = loop {
            let member = rpc.present();
            let next = patience.next();
            let given = next.saturating_duration_since(Deadline::now());
            let asked = tokio::time::timeout_at(next, self.ask(rpc, &member, &mut stream)).await;
            let failure = match asked {
                Ok(Ok(kept_alive)) => break Ok(kept_alive),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::silence(Effect::Repeatable, given),
            };
            if let Err(error) = rpc.recover(failure, &member, &mut patience).await {
                break Err(error);
            }
        };
        if answered.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost) {
            self.set_ended();
        }
        answered
    }

    /// One request to that member.
    async fn ask(&self, rpc: &Rpc, member: &Present, kept: &mut Option<Stream>) -> Result<KeptAlive, Failure> {
        let judged = |error| Failure::of(error, Effect::Repeatable);
        let cluster = rpc.cluster();
        // Taken out, and put back only after an answer: a stream with a request unanswered would
        // give the next one an answer that is not its own.
        let mut stream = match kept.take().filter(|stream| stream.generation == member.generation) {
            Some(stream) => stream,
            // The client library makes the first request by itself, and does not say which cluster
            // answered it.
            None => {
                let mut client = member.client().await.map_err(judged)?.lease_client();
                let (requests, answers) = client.keep_alive(self.id).await.map_err(judged)?;
                Stream { generation: member.generation, requests, answers }
            }
        };
        let sent_at = rpc.clock.now();
        stream.requests.keep_alive().await.map_err(judged)?;
        let Some(answer) = stream.answers.message().await.map_err(judged)? else {
            let error = Error::new(ErrorKind::Unavailable, "etcd closed the keep-alive stream");
            return Err(Failure { error, remedy: Remedy::NextMember });
        };
        let report = |error| Failure { error, remedy: Remedy::Report };
        rpc.admit(cluster, &answer, Effect::Repeatable).map_err(report)?;
        if answer.ttl() <= 0 {
            return Err(report(Error::new(ErrorKind::Lost, "the etcd lease is gone")));
        }
        *kept = Some(stream);
        Ok(KeptAlive { sent_at, term: answer.header().map_or(0, etcd_client::ResponseHeader::raft_term) })
    }

    /// Ends it, and every key on it. It has to be closed before.
    pub(crate) async fn revoke(&self, rpc: &Rpc, until: Deadline) -> Result<()> {
        let id = self.id;
        let answer =
            rpc.call(until, Effect::Repeatable, |client| async move { client.lease_client().revoke(id).await }).await;
        match answer {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Lost => {}
            Err(error) => return Err(error),
        }
        self.set_ended();
        Ok(())
    }
}
