//! One owner of a chaos run: what it does with locks, and what it writes down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dlock_core::{Clock, Instant, Landed, Token};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::resource::{Access, ResourceClient};
use super::{Holding, Locker};
use crate::history::{Recorder, Register, What};

/// The wait of an owner that does not give up. What it waits for comes, or the run has failed.
const FOR_EVER: Duration = Duration::from_secs(3600);

pub(super) struct Owner {
    pub(super) label: String,
    pub(super) locker: Arc<dyn Locker>,
    pub(super) recorder: Arc<Recorder>,
    /// Counts the operations of the process.
    pub(super) ops: Arc<AtomicU64>,
    pub(super) names: Vec<String>,
    pub(super) random: Rng,
    pub(super) ttl: Duration,
    pub(super) draining: watch::Receiver<bool>,
}

/// How an owner waits for a name.
enum Patience {
    /// At most so long.
    Within(Duration),
    /// Its future is dropped after so long.
    Cancelled(Duration),
}

/// What an owner does while it holds a name.
struct Work {
    /// Reads and writes until so much time is over; once at least.
    lasts: Duration,
    /// The time between reading and writing.
    thinks: Duration,
}

impl Owner {
    pub(super) async fn work(mut self, resource: SocketAddr) {
        let connect = || async { ResourceClient::connect(resource).await.expect("the lab serves its workers") };
        let mut registers = connect().await;
        while !*self.draining.borrow() {
            let op = self.ops.fetch_add(1, Ordering::Relaxed);
            if let Some(held) = self.acquire(op).await {
                let name = held.name.clone();
                if self.hold(op, &name, held.holding, &mut registers).await.is_err() {
                    // An answer may be under way still.
                    registers = connect().await;
                }
            }
            sleep(Duration::from_millis(self.random.u64(..20))).await;
        }
    }

    async fn acquire(&mut self, op: u64) -> Option<Held> {
        let name = self.random.choice(&self.names).expect("there are names").clone();
        let patience = self.patience();
        self.recorder.record(What::Invoke { op, owner: self.label.clone(), name: name.clone() });
        let acquired = match patience {
            Patience::Within(bound) => self.locker.acquire(&self.label, &name, bound).await,
            Patience::Cancelled(after) => {
                let acquiring = self.locker.acquire(&self.label, &name, FOR_EVER);
                timeout(after, acquiring).await.unwrap_or(Ok(None))
            }
        };
        match acquired {
            Ok(Some(holding)) => return Some(Held { name, holding }),
            Ok(None) => {
                self.recorder.record(What::Fail { op, why: "not in time".to_owned() });
            }
            Err(error) => {
                let why = error.to_string();
                let landed = error.landed();
                self.recorder.record(match landed {
                    Landed::No => What::Fail { op, why },
                    Landed::Maybe => What::Unknown { op, why },
                });
                sleep(Duration::from_millis(self.random.u64(50..200))).await;
            }
        }
        None
    }

    /// Holds, works, and releases. An error means that work stopped in the middle.
    async fn hold(
        &mut self,
        op: u64,
        name: &str,
        held: Box<dyn Holding>,
        registers: &mut ResourceClient,
    ) -> Result<(), Interrupted> {
        let token = held.token();
        self.recorder.record(What::Ok { op, token, until: nanos(held.valid_until()) });
        let work = self.work_to_do();
        let mut look = Look { held: &*held, last: None };
        let worked = tokio::select! {
            biased;
            lost = held.lost() => Err(lost),
            worked = self.read_and_write(op, name, &mut look, token, work, registers) => Ok(worked),
        };
        let is_held = worked.is_ok() && look.is_held();
        let looked = look.last;
        match worked {
            Ok(worked) if is_held => {
                let until = held.valid_until().map(|until| looked.map_or(until, |looked| until.max(looked)));
                self.recorder.record(What::Release { op, until: nanos(until) });
                let error = held.release().await.err().map(|error| error.to_string());
                self.recorder.record(What::Released { op, error });
                worked.map_err(|_| Interrupted)
            }
            Ok(worked) => {
                self.record_loss(op, held.lost().await, looked);
                worked.map_err(|_| Interrupted)
            }
            Err(lost) => {
                self.record_loss(op, lost, looked);
                Err(Interrupted)
            }
        }
    }

    /// Adds one to both registers of the name, as a program does that looks whether it holds
    /// before it writes, and whose writes take a moment.
    async fn read_and_write(
        &mut self,
        op: u64,
        name: &str,
        look: &mut Look<'_>,
        token: Option<Token>,
        work: Work,
        registers: &mut ResourceClient,
    ) -> io::Result<()> {
        let label = self.label.clone();
        let access = |register| Access { register, name, owner: &label, token };
        let begun = tokio::time::Instant::now();
        let held = look.held;
        let mut until = held.valid_until();
        loop {
            let fenced = match token {
                Some(_) => registers.read(&access(Register::Fenced)).await?,
                None => None,
            };
            let unfenced = registers.read(&access(Register::Unfenced)).await?;
            sleep(work.thinks).await;
            if !look.is_held() {
                return Ok(());
            }
            sleep(Duration::from_micros(self.random.u64(..2_000))).await;
            if let Some(value) = fenced {
                registers.write(&access(Register::Fenced), value + 1).await?;
            }
            if let Some(value) = unfenced {
                registers.write(&access(Register::Unfenced), value + 1).await?;
            }
            let renewed = held.valid_until();
            if let (true, Some(renewed)) = (renewed != until && held.is_held(), renewed) {
                self.recorder.record(What::Renewed { op, until: renewed.as_nanos() });
            }
            until = renewed;
            if begun.elapsed() >= work.lasts {
                return Ok(());
            }
        }
    }

    fn record_loss(&self, op: u64, (why, until): (String, Instant), looked: Option<Instant>) {
        let until = looked.map_or(until, |looked| until.max(looked));
        self.recorder.record(What::Lost { op, until: until.as_nanos(), why });
    }

    fn patience(&mut self) -> Patience {
        let ms = Duration::from_millis;
        match self.random.u8(..20) {
            0..3 => Patience::Within(Duration::ZERO),
            3..8 => Patience::Within(ms(self.random.u64(200..8_000))),
            8..10 => Patience::Cancelled(ms(self.random.u64(..200))),
            _ => Patience::Within(FOR_EVER),
        }
    }

    fn work_to_do(&mut self) -> Work {
        let ms = Duration::from_millis;
        match self.random.u8(..100) {
            0..80 => Work { lasts: Duration::ZERO, thinks: ms(self.random.u64(..10)) },
            80..92 => Work { lasts: Duration::ZERO, thinks: ms(self.random.u64(50..300)) },
            // Long enough that only renewals keep the claim.
            _ => Work { lasts: self.ttl.mul_f64(1.0 + self.random.f64()), thinks: self.ttl / 10 },
        }
    }
}

/// A name that was acquired.
struct Held {
    name: String,
    holding: Box<dyn Holding>,
}

/// Looks whether a name is held. Who is told so believes it, whatever the lock says afterwards about
/// its validity.
struct Look<'a> {
    held: &'a dyn Holding,
    /// A moment just before the last look that said so.
    last: Option<Instant>,
}

impl Look<'_> {
    fn is_held(&mut self) -> bool {
        let now = Clock::system().now();
        let is_held = self.held.is_held();
        if is_held {
            self.last = Some(now);
        }
        is_held
    }
}

/// The connection to the resource is in the middle of an exchange.
struct Interrupted;

fn nanos(at: Option<Instant>) -> Option<u64> {
    at.map(Instant::as_nanos)
}
