//! The backend: dlock's contract, on files.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Capabilities, Capability, Claim, ClaimRef, ConnectContext, DamagedEntry, Error, ErrorKind, Event,
    Gone, Grant, LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Page, Queue, Renewal, Requested, Result,
    TokenGuarantee, TtlBounds, Why, Withdrawn,
};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::stream::BoxStream;
use tokio::task::JoinHandle;

use crate::claims::Claims;
use crate::control::Control;
use crate::driver::{self, drive};
use crate::error::classify;
use crate::place;
use crate::room::{POLL_EVERY, Room, lock};
use crate::timers::Timers;
use crate::wake::Watcher;

/// Locks in one directory.
#[derive(Debug)]
pub(crate) struct FileBackend {
    info: BackendInfo,
    room: Arc<Room>,
    driver: JoinHandle<()>,
    /// Taken by the keeper.
    events: Mutex<Option<UnboundedReceiver<Event>>>,
}

impl FileBackend {
    /// Opens the directory, making what is missing.
    pub(crate) async fn open(dir: &Path, request_timeout: Duration, context: ConnectContext) -> Result<Self> {
        let own = place::prepare(dir, &context.namespace)?;
        let watcher = Watcher::new().map_err(|error| classify("cannot watch files", error))?;
        let info = info(request_timeout, watcher.pushes());
        let (sender, receiver) = unbounded();
        let room = Arc::new(Room {
            control: Mutex::new(Control::new(&own)),
            dir: own,
            clock: context.clock,
            request_timeout,
            watcher,
            hurry: tokio::sync::Notify::new(),
            claims: Mutex::new(Claims::new()),
            timers: Mutex::new(Timers::default()),
            events: sender,
            closed: AtomicBool::new(false),
        });
        // Proves that the directory can be written to, and that its format is ours.
        room.enter(|_| Ok(())).await?;
        let driver = tokio::spawn(drive(Arc::clone(&room)));
        Ok(Self { info, room, driver, events: Mutex::new(Some(receiver)) })
    }

    fn end(&self) {
        self.room.closed.store(true, Ordering::Relaxed);
        // The driver's own share of the room goes only when its runtime gets round to it.
        self.driver.abort();
        // Their descriptions are closed with this: the claims are dead, unless a child lives that
        // inherited one.
        lock(&self.room.claims).clear();
        self.room.events.close_channel();
    }

    fn check_open(&self) -> Result<()> {
        if self.room.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "the file backend has been closed"));
        }
        Ok(())
    }

    fn renew_one(&self, claim: &ClaimRef) -> Result<Renewal> {
        self.check_open()?;
        if let Some(gone) = self.room.check(claim.id) {
            self.room.lose(claim.id, gone);
            return Ok(Renewal::Gone(gone));
        }
        match lock(&self.room.claims).get(&claim.id) {
            Some(own) => Ok(Renewal::Alive { life: self.room.life(), grant: own.grant(), recheck: None }),
            None => Ok(Renewal::Gone(Gone::Absent)),
        }
    }
}

#[async_trait]
impl LockBackend for FileBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        self.check_open()?;
        self.room.register(claim, queue).await
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let mut answers = Vec::with_capacity(claims.len());
        for batch in claims.chunks(256) {
            answers.extend(batch.iter().map(|claim| self.renew_one(claim)));
            tokio::task::yield_now().await;
        }
        answers
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        self.check_open()?;
        self.room.withdraw(claim, why).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        self.check_open()?;
        self.room.convert(claim, to).await
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.check_open()?;
        self.room.inspect(name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.check_open()?;
        self.room.list(prefix, &page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.check_open()?;
        self.room.clear_damage(name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        match lock(&self.events).take() {
            Some(receiver) => receiver.boxed(),
            None => futures::stream::pending().boxed(),
        }
    }

    fn lifeline(&self, claim: &ClaimRef) -> Result<Option<OwnedFd>> {
        self.check_open()?;
        self.room.lifeline(claim).map(Some)
    }

    async fn close(&self) -> Result<()> {
        self.end();
        Ok(())
    }
}

impl Drop for FileBackend {
    fn drop(&mut self) {
        self.end();
    }
}

fn info(request_timeout: Duration, pushes: bool) -> BackendInfo {
    let capabilities = Capabilities::of(&[
        Capability::Exclusive,
        Capability::Shared,
        Capability::Permits,
        Capability::Downgrade,
        Capability::Fifo,
        Capability::Push,
        Capability::PushLoss,
        Capability::ProcessLife,
        Capability::PredecessorFate,
        Capability::List,
        Capability::Break,
        Capability::CrossProcess,
        Capability::TokensSurviveRestart,
    ]);
    BackendInfo {
        scheme: "file",
        capabilities: if pushes {
            capabilities
        } else {
            capabilities.without(Capability::Push).without(Capability::PushLoss)
        },
        // A claim lives as long as its process: the ttl is only written down.
        ttl: TtlBounds { min: Duration::from_millis(1), max: Duration::from_secs(365 * 24 * 3600) },
        grace: Duration::from_millis(500),
        tokens: TokenGuarantee::Consensus,
        request_timeout,
        missed_event_bound: if pushes { driver::SCAN_EVERY } else { POLL_EVERY * 2 },
    }
}
