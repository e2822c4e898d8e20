//! A client of a memory store whose requests meet the fates that a script gives them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::memory::{Memory, MemoryStore};
use dlock_core::{
    BackendInfo, Claim, ClaimId, ClaimRef, Clock, Connect, ConnectContext, DamagedEntry, Error, ErrorKind, Event,
    Grant, Landed, LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Page, Queue, Renewal, Requested,
    Result, Why, Withdrawn,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;

/// What every request takes at least, so that a keeper which spins does not stop the paused clock.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// What a script decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Connect,
    Events,
    NextEvent,
    Request,
    Renew,
    Withdraw,
    Convert,
    Lifeline,
    Close,
}

/// What becomes of one call.
pub(crate) enum Fate {
    /// It is carried out and answered.
    Pass,
    /// It never arrives.
    LoseRequest,
    /// It never arrives, and is given up after this time.
    LoseRequestAfter(Duration),
    /// It is carried out, but the answer never arrives.
    LoseReply,
    /// It is carried out, and answered only after this time.
    DelayReply(Duration),
    /// It is refused and surely changed nothing.
    Fail(ErrorKind),
    /// The backend panics before it sends anything.
    Panic,
    /// It is carried out, and then the backend panics.
    PanicAfterwards,
    /// It is carried out and answered, and a moment later this is pushed about its claim.
    PassAndPush(fn(ClaimId) -> Event),
    /// It is carried out, and the answer is twisted.
    TwistRequested(fn(Requested) -> Requested),
    /// The same for each answer of a renewal.
    TwistRenewal(Box<dyn Fn(Renewal) -> Renewal + Send + Sync>),
}

/// Connects to a store by a script.
#[derive(Clone)]
pub(crate) struct Scripted {
    store: MemoryStore,
    calls: Calls,
}

/// The calls that were made, and what the script does to the next. Clones are the same record.
#[derive(Clone)]
pub(crate) struct Calls(Arc<Record>);

struct Record {
    script: Box<dyn Fn(Call, usize) -> Fate + Send + Sync>,
    counts: Mutex<HashMap<Call, usize>>,
}

struct ScriptedBackend {
    inner: Arc<dyn LockBackend>,
    calls: Calls,
    clock: Clock,
    pushes: mpsc::UnboundedSender<Event>,
    pushed: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
}

impl Scripted {
    /// The script is told which call it is, and how many of its kind there were with it.
    pub(crate) fn on(store: &MemoryStore, script: impl Fn(Call, usize) -> Fate + Send + Sync + 'static) -> Self {
        let record = Record { script: Box::new(script), counts: Mutex::default() };
        Self { store: store.clone(), calls: Calls(Arc::new(record)) }
    }

    pub(crate) fn calls(&self) -> Calls {
        self.calls.clone()
    }
}

impl Calls {
    /// How many calls of this kind were made.
    pub(crate) fn count(&self, call: Call) -> usize {
        let counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&call).copied().unwrap_or_default()
    }

    fn fate(&self, call: Call) -> Fate {
        let nth = {
            let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(call).or_default();
            *count += 1;
            *count
        };
        (self.0.script)(call, nth)
    }

    /// For calls that do not wait: they pass or panic.
    fn pass_or_panic(&self, call: Call) {
        match self.fate(call) {
            Fate::Pass => {}
            _ => panic!("the script says so: {call:?}"),
        }
    }
}

#[async_trait]
impl Connect for Scripted {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        self.calls.pass_or_panic(Call::Connect);
        let clock = context.clock.clone();
        let inner = Box::new(Memory::on(&self.store)).connect(context).await?;
        let (pushes, pushed) = mpsc::unbounded_channel();
        let pushed = Mutex::new(Some(pushed));
        Ok(Arc::new(ScriptedBackend { inner, calls: self.calls, clock, pushes, pushed }))
    }
}

impl ScriptedBackend {
    /// Carries a call out, or not.
    async fn carry<T>(&self, fate: &Fate, claim: ClaimId, call: impl Future<Output = Result<T>>) -> Result<T> {
        if let Fate::Panic = fate {
            panic!("the script says so, before anything is sent");
        }
        self.clock.sleep(MOMENT).await;
        let lost = || Error::new(ErrorKind::Unavailable, "the script lost it").with_landed(Landed::Maybe);
        match fate {
            Fate::LoseRequest => Err(lost()),
            Fate::LoseRequestAfter(time) => {
                self.clock.sleep(*time).await;
                Err(lost())
            }
            Fate::Fail(kind) => Err(Error::new(*kind, "the script refuses")),
            Fate::LoseReply => call.await.and_then(|_| Err(lost())),
            Fate::DelayReply(delay) => {
                let answer = call.await;
                self.clock.sleep(*delay).await;
                answer
            }
            Fate::PanicAfterwards => {
                let _ = call.await;
                panic!("the script says so, after it was carried out");
            }
            Fate::PassAndPush(event) => {
                let (event, pushes, clock) = (event(claim), self.pushes.clone(), self.clock.clone());
                let answer = call.await;
                tokio::spawn(async move {
                    clock.sleep(MOMENT).await;
                    // A client that has closed meanwhile hears nothing.
                    let _ = pushes.send(event);
                });
                answer
            }
            Fate::Pass | Fate::Panic | Fate::TwistRequested(_) | Fate::TwistRenewal(_) => call.await,
        }
    }
}

#[async_trait]
impl LockBackend for ScriptedBackend {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        let fate = self.calls.fate(Call::Request);
        let answer = self.carry(&fate, claim.id, self.inner.request(claim, queue)).await?;
        Ok(if let Fate::TwistRequested(twist) = fate { twist(answer) } else { answer })
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let fate = self.calls.fate(Call::Renew);
        let renewed = self.carry(&fate, claims[0].id, async { Ok(self.inner.renew(claims).await) }).await;
        let mut answers = renewed.unwrap_or_else(|error| vec![Err(error); claims.len()]);
        if let Fate::TwistRenewal(twist) = fate {
            answers = answers.into_iter().map(|answer| answer.map(&twist)).collect();
        }
        answers
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let fate = self.calls.fate(Call::Withdraw);
        self.carry(&fate, claim.id, self.inner.withdraw(claim, why)).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        let fate = self.calls.fate(Call::Convert);
        self.carry(&fate, claim.id, self.inner.convert(claim, to)).await
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.inner.inspect(name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.inner.list(prefix, page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.inner.clear_damage(name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        self.calls.pass_or_panic(Call::Events);
        let taken = self.pushed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut pushed = taken.expect("the keeper takes the events once");
        let pushed = stream::poll_fn(move |context| pushed.poll_recv(context));
        let calls = self.calls.clone();
        let events = stream::select(self.inner.events(), pushed);
        events.inspect(move |_| calls.pass_or_panic(Call::NextEvent)).boxed()
    }

    #[cfg(unix)]
    fn lifeline(&self, claim: &ClaimRef) -> Result<Option<std::os::fd::OwnedFd>> {
        self.calls.pass_or_panic(Call::Lifeline);
        self.inner.lifeline(claim)
    }

    async fn close(&self) -> Result<()> {
        if let Fate::DelayReply(delay) = self.calls.fate(Call::Close) {
            self.clock.sleep(delay).await;
        }
        self.inner.close().await
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl fmt::Debug for ScriptedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedBackend").finish_non_exhaustive()
    }
}
