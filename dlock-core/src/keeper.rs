//! The keeper: one task per client that renews, watches and cleans up.

mod adopting;
mod command;
mod ending;
mod entry;
mod granting;
mod lane;
mod renewing;
mod table;
mod work;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::task::noop_waker_ref;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub(crate) use self::command::{Answer, Command};
use self::entry::Phase;
use self::lane::Lane;
use self::table::Table;
pub(crate) use self::work::unpanicked;
use self::work::{Done, guarded};
use crate::client::{Settings, closed};
use crate::fast::Fast;
use crate::{BackendInfo, Clock, Connect, ConnectContext, Error, ErrorKind, Event, LockBackend, Loss, Result};

/// How a client is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long ago the service last answered anything.
    pub last_answer: Duration,
    /// Claims that are held, doubtful ones included.
    pub held: usize,
    /// Held claims whose renewal is failing.
    pub doubtful: usize,
    /// Claims that are being requested or stand in line.
    pub waiting: usize,
    /// Claims that are being withdrawn.
    pub ending: usize,
}

/// Owns all claims of one client. It is the only one that talks to the backend, and every
/// mutating request it sends is awaited to its end here, whoever goes away meanwhile.
pub(crate) struct Keeper {
    backend: Arc<dyn LockBackend>,
    info: BackendInfo,
    settings: Arc<Settings>,
    clock: Clock,
    commands: mpsc::UnboundedReceiver<Command>,
    claims: Table,
    work: JoinSet<Done>,
    requests: Lane,
    /// Of their own: a release does not wait for those who want to acquire.
    withdrawals: Lane,
    last_answer: crate::Instant,
    fast: Option<Arc<Fast>>,
    /// When it next looks for what callers have left under way.
    next_look: crate::Instant,
    /// Who waits for the end, once it has begun.
    closing: Option<Vec<Answer<()>>>,
}

/// What a connected keeper hands to its client.
pub(crate) struct Ready {
    pub(crate) info: BackendInfo,
    pub(crate) settings: Arc<Settings>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) fast: Option<Arc<Fast>>,
}

/// How many commands are taken in a row before anything else gets a turn.
const COMMANDS_AT_ONCE: usize = 256;

impl Keeper {
    /// Connects and serves until it is closed, or until every handle is gone.
    pub(crate) async fn run(
        connector: Box<dyn Connect>,
        context: ConnectContext,
        settle: impl FnOnce(&BackendInfo) -> Result<Settings>,
        ready: oneshot::Sender<Result<Ready>>,
    ) {
        let clock = context.clock.clone();
        let backend = match guarded(async { connector.connect(context).await }).await {
            Ok(backend) => backend,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let (info, path) = match unpanicked(|| Ok((backend.info().clone(), backend.fast_path()))) {
            Ok(known) => known,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let (sender, commands) = mpsc::unbounded_channel();
        let settings = match settle(&info) {
            Ok(settings) => Arc::new(settings),
            Err(error) => {
                let _ = ready.send(Err(error));
                return drop(guarded(async { backend.close().await }).await);
            }
        };
        let last_answer = clock.now();
        let fast = path.map(|path| Arc::new(Fast::new(path, settings.max_hold_time)));
        let keeper = Self {
            backend,
            info: info.clone(),
            settings: settings.clone(),
            clock,
            commands,
            claims: Table::default(),
            work: JoinSet::new(),
            requests: Lane::default(),
            withdrawals: Lane::default(),
            last_answer,
            fast: fast.clone(),
            next_look: last_answer,
            closing: None,
        };
        let events = match unpanicked(|| Ok(keeper.backend.events())) {
            Ok(events) => events,
            Err(error) => {
                let _ = ready.send(Err(error));
                return drop(guarded(async { keeper.backend.close().await }).await);
            }
        };
        // A caller that went away meanwhile has dropped the only handle, which ends the keeper.
        let _ = ready.send(Ok(Ready { info, settings, commands: sender, fast }));
        keeper.serve(events).await;
    }

    async fn serve(mut self, mut events: BoxStream<'static, Event>) {
        let (mut has_handles, mut has_events) = (true, true);
        loop {
            self.adopt_fresh();
            self.adopt_begun();
            self.run_due();
            if self.closing.is_some() && self.has_ended() {
                break;
            }
            let clock = self.clock.clone();
            let longest = if self.fast.is_some() { Fast::LOOK } else { Duration::from_secs(3600) };
            let longest = clock.now() + longest;
            let wake = self.claims.next_due().map_or(longest, |due| due.min(longest));
            tokio::select! {
                command = self.commands.recv(), if has_handles => match command {
                    Some(command) => {
                        self.command(command);
                        for _ in 0..COMMANDS_AT_ONCE {
                            let Ok(command) = self.commands.try_recv() else { break };
                            self.command(command);
                        }
                    }
                    None => {
                        has_handles = false;
                        self.close(None);
                    }
                },
                event = AssertUnwindSafe(events.next()).catch_unwind(), if has_events => match event {
                    Ok(Some(event)) => self.event(event),
                    Ok(None) => has_events = false,
                    Err(_) => {
                        tracing::error!("the event stream of the backend panicked: renewals go on without it");
                        has_events = false;
                    }
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => tracing::error!(%error, "a task of the lock keeper failed"),
                },
                () = clock.sleep_until(wake) => {}
            }
        }
        if let Some(fast) = &self.fast {
            fast.end();
        }
        let ended = guarded(async { self.backend.close().await }).await;
        let closers = self.closing.take();
        drop(self);
        for closer in closers.into_iter().flatten() {
            let _ = closer.send(ended.clone());
        }
    }

    /// Nothing is left, nor can anything still come from a caller's own attempt.
    fn has_ended(&self) -> bool {
        let is_quiet = self.fast.as_ref().is_none_or(|fast| fast.is_quiet());
        is_quiet && self.claims.is_empty() && self.work.is_empty()
    }

    fn command(&mut self, command: Command) {
        self.adopt_fresh();
        match command {
            Command::Start(start) if self.closing.is_some() => start.slot.failed(&start.attempt, closed()),
            Command::Start(start) => self.start(*start),
            Command::Adopt(start, taking) => self.adopt_attempt(*start, taking),
            Command::Wake => {}
            Command::Abandon(attempt) => self.abandon(&attempt),
            Command::Release(claim, reply) => self.release(claim, reply),
            Command::Downgrade(claim, reply) => self.downgrade(claim, reply),
            #[cfg(unix)]
            Command::Lifeline(claim, reply) => self.lifeline(claim, reply),
            Command::Alarm(at, ring) => self.alarm(at, ring),
            Command::Inspect(name, reply) => self.inspect(name, reply),
            Command::List(prefix, page, reply) => self.list(prefix, page, reply),
            Command::Break(claim, reply) => self.break_claim(claim, reply),
            Command::ClearDamage(name, entry, reply) => self.clear_damage(name, entry, reply),
            Command::Health(reply) => drop(reply.send(Ok(self.health()))),
            Command::Close(reply) => self.close(reply),
        }
    }

    fn event(&mut self, event: Event) {
        if let Some(fast) = &self.fast {
            fast.suspect(&event.scope());
            self.adopt_fresh();
        }
        match event {
            Event::Granted(claim, grant) => self.granted(claim, grant),
            Event::Gone(claim, gone) => self.gone(claim, gone),
            Event::Suspect(scope) => self.suspect(&scope),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Requested(claim, answer) => {
                self.heard(&answer);
                self.requested(claim, answer);
                self.requests.leave();
                self.request_next();
            }
            Done::Taken(claim, answer) => {
                self.heard(&answer);
                self.taken(claim, answer);
            }
            Done::Renewed(answers) => {
                for (claim, was_held, answer) in answers {
                    self.heard(&answer);
                    self.renewed(claim, was_held, answer);
                }
            }
            Done::Withdrawn(claim, answer) => {
                self.heard(&answer);
                self.withdrawn(claim, answer);
                self.withdrawals.leave();
                self.withdraw_next();
            }
            Done::Converted(claim, answer, reply) => {
                self.heard(&answer);
                self.converted(claim, answer, reply);
            }
            Done::Broken(claim, answer, reply) => {
                self.heard(&answer);
                self.broken(claim, answer, reply);
            }
            Done::Answered => {}
        }
    }

    fn heard<T>(&mut self, answer: &Result<T>) {
        if answer.is_ok() {
            self.last_answer = self.clock.now();
        }
    }

    /// Gives every claim whose time has come its turn, and renews in one batch.
    fn run_due(&mut self) {
        let now = self.clock.now();
        let mut renew_any = false;
        for claim in self.claims.take_due(now) {
            renew_any |= self.turn(claim, now);
        }
        if renew_any {
            self.renew_batch(now);
        }
    }

    fn health(&self) -> Health {
        let mut health = Health {
            last_answer: self.clock.now().since(self.last_answer),
            held: 0,
            doubtful: 0,
            waiting: 0,
            ending: 0,
        };
        for entry in self.claims.iter() {
            match entry.phase {
                Phase::Requesting | Phase::Queued | Phase::Confirming => health.waiting += 1,
                Phase::Held => {
                    health.held += 1;
                    health.doubtful += usize::from(entry.is_doubtful());
                }
                Phase::Retired(_) | Phase::Ending(_) => health.ending += 1,
            }
        }
        health
    }
}

/// Nobody may wait for a keeper that is no more. Claims are left only when it panicked or its
/// runtime was shut down; commands may have come while the backend was being closed.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(fast) = &self.fast {
            fast.lose_all(Loss::Keeper);
            // Others may wait for an attempt whose own caller does not poll it.
            for (start, _) in fast.take_begun().asking.iter().filter_map(|seat| seat.take()) {
                start.slot.failed(&start.attempt, closed());
            }
        }
        self.commands.close();
        let mut context = Context::from_waker(noop_waker_ref());
        loop {
            match self.commands.poll_recv(&mut context) {
                Poll::Ready(Some(Command::Start(start) | Command::Adopt(start, _))) => {
                    start.slot.failed(&start.attempt, closed());
                }
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => break,
                // Somebody is in the middle of sending.
                Poll::Pending => std::thread::yield_now(),
            }
        }
        for entry in self.claims.iter() {
            match &entry.cell {
                Some(cell) => cell.lose(Loss::Keeper),
                None => entry.slot.failed(
                    &entry.attempt,
                    Error::new(ErrorKind::Closed, "the keeper of this lock client stopped: connect again"),
                ),
            }
        }
    }
}
