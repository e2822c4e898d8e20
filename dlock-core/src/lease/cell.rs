use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::{LeaseState, Loss};
use crate::{ClaimId, Clock, Error, ErrorKind, Grant, Instant, LockName, Result};

/// No longer valid, for ever.
const OVER: u64 = 0;
/// Valid until told otherwise: a process's life.
const ENDLESS: u64 = u64::MAX;

/// One held claim, shared by its guards (which read it) and the keeper (which extends it).
///
/// Validity is one atomic: whoever first sees the deadline pass replaces it by [`OVER`], and an
/// extension only ever replaces a deadline that has not passed. So once anybody was told "lost",
/// nobody is told "held" again.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) claim: ClaimId,
    pub(crate) name: LockName,
    pub(crate) grant: Grant,
    clock: Clock,
    valid_until: AtomicU64,
    doubtful: AtomicBool,
    loss: OnceLock<Loss>,
    /// When validity ended, once it has.
    ended: OnceLock<Instant>,
    lost: Notify,
}

impl Cell {
    pub(crate) fn new(
        claim: ClaimId,
        name: LockName,
        grant: Grant,
        clock: Clock,
        valid_until: Option<Instant>,
    ) -> Self {
        let valid_until = valid_until.map_or(ENDLESS, Instant::as_nanos);
        Self {
            claim,
            name,
            grant,
            clock,
            valid_until: AtomicU64::new(valid_until),
            doubtful: AtomicBool::new(false),
            loss: OnceLock::new(),
            ended: OnceLock::new(),
            lost: Notify::new(),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.deadline().is_some()
    }

    /// The time left, `None` when the lease is lost. A process's life has `Duration::MAX` left.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        match self.deadline()? {
            ENDLESS => Some(Duration::MAX),
            deadline => Some(Instant::from_nanos(deadline).since(self.clock.now())),
        }
    }

    /// Until when it is valid, `None` for a process's life; an error when it is lost.
    pub(crate) fn valid_until(&self) -> Result<Option<Instant>> {
        match self.deadline() {
            Some(ENDLESS) => Ok(None),
            Some(deadline) => Ok(Some(Instant::from_nanos(deadline))),
            None => Err(self.error()),
        }
    }

    pub(crate) fn state(&self) -> LeaseState {
        if !self.is_held() {
            LeaseState::Lost(self.loss())
        } else if self.doubtful.load(Ordering::Relaxed) {
            LeaseState::Doubtful
        } else {
            LeaseState::Held
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_held() { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> Error {
        Error::new(ErrorKind::Lost, format!("the lock {} is lost: {}; stop what it guards", self.name, self.loss()))
    }

    pub(crate) async fn until_lost(&self) -> Loss {
        loop {
            let notified = self.lost.notified();
            if !self.is_held() {
                return self.loss();
            }
            notified.await;
        }
    }

    pub(crate) fn doubt(&self, doubtful: bool) {
        self.doubtful.store(doubtful, Ordering::Relaxed);
    }

    /// Replaces the deadline, unless it has passed. Answers whether the lease is held.
    pub(crate) fn extend(&self, valid_until: Option<Instant>) -> bool {
        let new = valid_until.map_or(ENDLESS, Instant::as_nanos);
        while let Some(old) = self.deadline() {
            let kept = self.valid_until.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
            if kept.is_ok() {
                return true;
            }
        }
        false
    }

    /// Ends the lease now. The first cause stays.
    pub(crate) fn lose(&self, loss: Loss) {
        self.loss.get_or_init(|| loss);
        let deadline = self.valid_until.swap(OVER, Ordering::AcqRel);
        self.end(deadline);
    }

    /// When the lease ended, if it has.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        match self.deadline() {
            Some(_) => None,
            None => self.ended.get().copied().or_else(|| Some(self.clock.now())),
        }
    }

    /// What follows once `deadline` has been replaced by [`OVER`].
    fn end(&self, deadline: u64) {
        if deadline != OVER {
            self.ended.get_or_init(|| self.clock.now().min(Instant::from_nanos(deadline)));
        }
        self.lost.notify_waiters();
    }

    fn loss(&self) -> Loss {
        *self.loss.get_or_init(|| Loss::Deadline)
    }

    /// The deadline, unless it has passed; one that has passed is made final.
    fn deadline(&self) -> Option<u64> {
        loop {
            let deadline = self.valid_until.load(Ordering::Acquire);
            match deadline {
                OVER => return None,
                ENDLESS => return Some(ENDLESS),
                _ if self.clock.now().as_nanos() < deadline => return Some(deadline),
                _ => {
                    let ended = self.valid_until.compare_exchange(deadline, OVER, Ordering::AcqRel, Ordering::Acquire);
                    if ended.is_ok() {
                        self.loss();
                        self.end(deadline);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    fn cell(clock: &Clock, ttl: Duration) -> Cell {
        let grant = Grant { token: Token { epoch: 1, value: 1 }, predecessor: None };
        let until = clock.now() + ttl;
        Cell::new(ClaimId::random(), "a".parse().unwrap(), grant, clock.clone(), Some(until))
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_extension_never_revives() {
        let clock = Clock::tokio();
        let cell = cell(&clock, Duration::from_secs(10));
        assert!(cell.extend(Some(clock.now() + Duration::from_secs(12))));
        clock.sleep(Duration::from_secs(12)).await;
        assert!(!cell.extend(Some(clock.now() + Duration::from_secs(10))), "nobody had looked before");
        assert!(!cell.is_held());
        assert_eq!(cell.state(), LeaseState::Lost(Loss::Deadline));
        assert_eq!(cell.until_lost().await, Loss::Deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_at_its_deadline_or_when_its_loss_is_known() {
        let clock = Clock::tokio();
        let (late, early) = (cell(&clock, Duration::from_secs(10)), cell(&clock, Duration::from_secs(10)));
        let deadline = clock.now() + Duration::from_secs(10);
        assert_eq!(late.ended_at(), None);
        clock.sleep(Duration::from_secs(3)).await;
        let known = clock.now();
        early.lose(Loss::Gone);
        clock.sleep(Duration::from_secs(9)).await;
        late.lose(Loss::Gone);
        assert_eq!((early.ended_at(), late.ended_at()), (Some(known), Some(deadline)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_cause_stays() {
        let clock = Clock::tokio();
        let cell = cell(&clock, Duration::from_secs(10));
        cell.lose(Loss::Gone);
        cell.lose(Loss::Closed);
        assert_eq!(cell.state(), LeaseState::Lost(Loss::Gone));
        assert_eq!(cell.check().unwrap_err().kind(), ErrorKind::Lost);
    }

    #[test]
    fn racing_looks_and_extensions_never_go_back() {
        let clock = Clock::system();
        for _ in 0..200 {
            let cell = cell(&clock, Duration::from_micros(200));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let mut was_lost = false;
                        for _ in 0..300 {
                            let held = cell.is_held();
                            assert!(!(was_lost && held), "a lost lease came back");
                            was_lost = !held;
                        }
                    });
                }
                scope.spawn(|| while cell.extend(Some(clock.now() + Duration::from_micros(50))) && rand_stop() {});
            });
        }
    }

    fn rand_stop() -> bool {
        fastrand::u8(..) != 0
    }
}
