//! What lock handles and guards share: the way to the keeper.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::fast::{Fast, Returned, Returning, Taking};
use crate::keeper::{Answer, Command, Health};
use crate::lock::Alarm;
use crate::slot::{Attempt, Slot};
use crate::{
    BackendInfo, Capability, Claim, ClaimId, ClaimRef, Clock, DamagedEntry, Error, ErrorKind, LockName, LockState,
    Mode, NamePage, NamePrefix, Namespace, Page, Queue, Result, Withdrawn,
};

/// How a client behaves, settled when it connects.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: Namespace,
    pub(crate) ttl: Duration,
    pub(crate) label: String,
    pub(crate) max_holds: u32,
    pub(crate) max_hold_time: Option<Duration>,
    pub(crate) retry_for: Duration,
}

/// One connected client. When the last handle goes, the keeper withdraws what is left and ends.
pub(crate) struct Client {
    pub(crate) info: BackendInfo,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    commands: mpsc::UnboundedSender<Command>,
    fast: Option<Arc<Fast>>,
    process: u32,
    /// `None` where the keeper was put on a runtime of the caller's.
    thread: Option<KeeperThread>,
}

/// The keeper's own thread.
pub(crate) struct KeeperThread {
    pub(crate) id: std::thread::ThreadId,
    /// Closes when it has ended.
    pub(crate) ended: std::sync::Mutex<blocking::Receiver<()>>,
}

/// A claim to be made, and where its fate is reported.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) claim: Claim,
    pub(crate) queue: Queue,
    pub(crate) slot: Arc<Slot>,
    pub(crate) attempt: Arc<Attempt>,
}

/// For how long dropping the last handle waits for the keeper to clean up.
const PARTING: Duration = Duration::from_secs(5);

impl Client {
    pub(crate) fn new(
        info: BackendInfo,
        settings: Arc<Settings>,
        clock: Clock,
        commands: mpsc::UnboundedSender<Command>,
        fast: Option<Arc<Fast>>,
        thread: Option<KeeperThread>,
    ) -> Self {
        Self { info, settings, clock, commands, fast, process: std::process::id(), thread }
    }

    pub(crate) fn start(&self, start: Box<Start>) -> Result<()> {
        self.send(Command::Start(start))
    }

    /// Nobody waits for the attempt any more.
    pub(crate) fn abandon(&self, attempt: Arc<Attempt>) {
        // A closed keeper has withdrawn it already.
        let _ = self.send(Command::Abandon(attempt));
    }

    /// Withdraws a held claim, and answers when that is confirmed. Dropped before, it is withdrawn all the same.
    pub(crate) async fn release(&self, claim: ClaimId) -> Result<()> {
        if let Some(fast) = self.fast()
            && let Some(returning) = Returning::begin(self, fast, claim)
            && returning.await == Returned::Done
        {
            return Ok(());
        }
        match self.call(move |reply| Command::Release(claim, reply)).await {
            Err(error) if error.kind() == ErrorKind::Closed && self.fast().is_some_and(Fast::has_ended) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// Withdraws a held claim in the background.
    pub(crate) fn release_later(&self, claim: ClaimId) {
        // A keeper that is no more leaves the claim to lapse.
        drop(self.call(move |reply| Command::Release(claim, reply)));
    }

    /// Hands an attempt to the keeper, with the caller's own request that is under way. Answers whether
    /// there is a keeper; if not, the attempt has failed.
    pub(crate) fn hand_over(&self, start: Box<Start>, taking: Taking) -> bool {
        let (slot, attempt) = (start.slot.clone(), start.attempt.clone());
        let sent = self.send(Command::Adopt(start, taking));
        sent.inspect_err(|error| slot.failed(&attempt, error.clone())).is_ok()
    }

    /// Has the keeper look at the fast path.
    pub(crate) fn wake_keeper(&self) {
        let _ = self.send(Command::Wake);
    }

    /// The fast path, where there is one that this process may use.
    pub(crate) fn fast(&self) -> Option<&Fast> {
        self.fast.as_deref().filter(|_| std::process::id() == self.process)
    }

    pub(crate) fn require_mode(&self, mode: Mode) -> Result<()> {
        self.info.capabilities.require(Capability::for_mode(mode), self.info.scheme)
    }

    pub(crate) fn downgrade(&self, claim: ClaimId) -> impl Future<Output = Result<()>> + use<> {
        self.call(move |reply| Command::Downgrade(claim, reply))
    }

    #[cfg(unix)]
    pub(crate) fn lifeline(
        &self,
        claim: ClaimId,
    ) -> impl Future<Output = Result<Option<std::os::fd::OwnedFd>>> + use<> {
        self.call(move |reply| Command::Lifeline(claim, reply))
    }

    pub(crate) fn alarm(&self, after: Duration) -> Result<Alarm> {
        let (ring, alarm) = oneshot::channel();
        self.send(Command::Alarm(self.clock.now() + after, ring))?;
        Ok(alarm)
    }

    pub(crate) async fn inspect(&self, name: LockName) -> Result<LockState> {
        self.call(|reply| Command::Inspect(name, reply)).await
    }

    pub(crate) async fn list(&self, prefix: NamePrefix, page: Page) -> Result<NamePage> {
        self.call(|reply| Command::List(prefix, page, reply)).await
    }

    pub(crate) async fn break_claim(&self, claim: ClaimRef) -> Result<Withdrawn> {
        self.call(|reply| Command::Break(claim, reply)).await
    }

    pub(crate) async fn clear_damage(&self, name: LockName, entry: DamagedEntry) -> Result<Withdrawn> {
        self.call(|reply| Command::ClearDamage(name, entry, reply)).await
    }

    pub(crate) async fn health(&self) -> Result<Health> {
        self.call(Command::Health).await
    }

    pub(crate) async fn close(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        // A keeper that is no more was closed before.
        if self.send(Command::Close(Some(reply))).is_err() {
            return Ok(());
        }
        // A keeper that ended without an answer was closed by somebody else at the same time.
        answer.await.unwrap_or(Ok(()))
    }

    /// Sends a command at once, and waits for its answer when polled.
    fn call<T, C>(&self, command: C) -> impl Future<Output = Result<T>> + use<T, C>
    where
        C: FnOnce(Answer<T>) -> Command,
    {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(command(reply));
        async move {
            sent?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        }
    }

    fn send(&self, command: Command) -> Result<()> {
        // A fork has a copy of the client, but not the keeper's thread.
        if std::process::id() != self.process {
            return Err(Error::new(
                ErrorKind::Closed,
                "this process is a fork of the one that connected: connect again after the fork",
            ));
        }
        self.commands.send(command).map_err(|_| closed())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.send(Command::Close(None)).is_err() {
            return;
        }
        if let Some(KeeperThread { ended, id }) = &self.thread
            && *id != std::thread::current().id()
        {
            let ended = ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Either the keeper has ended, or it goes on alone until the claims have lapsed.
            let _ = ended.recv_timeout(PARTING);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("backend", &self.info.scheme).finish_non_exhaustive()
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the lock client is closed: connect again")
}
