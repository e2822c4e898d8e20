use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Clock, Error, ErrorKind, Landed, Result};

/// The simulated network between a client and a [`MemoryStore`](super::MemoryStore): what happens
/// to requests, replies and events, drawn from a seed.
#[derive(Clone, Debug)]
pub struct Network {
    random: Arc<Mutex<fastrand::Rng>>,
    lost_requests: f64,
    lost_replies: f64,
    duplicates: f64,
    late: f64,
    lost_events: f64,
    delay: Range<Duration>,
    timeout: Duration,
    link: Link,
}

/// A switch in a [`Network`]. Clones are the same switch.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<AtomicBool>);

/// What becomes of one request.
enum Fate {
    Arrives { twice: bool, reply: bool },
    Lost,
    Late(Duration),
}

impl Network {
    /// Nothing is lost, nothing takes time.
    #[must_use]
    pub fn perfect() -> Self {
        Self::seeded(0)
    }

    /// Nothing is lost or takes time until other methods say so; chance is drawn from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            lost_requests: 0.0,
            lost_replies: 0.0,
            duplicates: 0.0,
            late: 0.0,
            lost_events: 0.0,
            delay: Duration::ZERO..Duration::ZERO,
            timeout: Duration::from_millis(200),
            link: Link::default(),
        }
    }

    /// This share of requests never arrives.
    #[must_use]
    pub fn lose_requests(self, share: f64) -> Self {
        Self { lost_requests: share, ..self }
    }

    /// This share of requests is carried out, but never answered.
    #[must_use]
    pub fn lose_replies(self, share: f64) -> Self {
        Self { lost_replies: share, ..self }
    }

    /// This share of requests arrives a second time, up to two timeouts later.
    #[must_use]
    pub fn duplicate_requests(self, share: f64) -> Self {
        Self { duplicates: share, ..self }
    }

    /// This share of requests arrives only after the client has given it up, up to two timeouts
    /// later.
    #[must_use]
    pub fn delay_past_timeout(self, share: f64) -> Self {
        Self { late: share, ..self }
    }

    /// This share of pushed events is lost.
    #[must_use]
    pub fn lose_events(self, share: f64) -> Self {
        Self { lost_events: share, ..self }
    }

    /// Each way takes a time in this range.
    #[must_use]
    pub fn delay(self, range: Range<Duration>) -> Self {
        Self { delay: range, ..self }
    }

    /// After this time a client takes a request for lost. Default: 200 ms.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The switch that cuts this network.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.timeout + self.delay.end * 2
    }

    /// Sends a request through the network; `serve` is the server's side of it.
    pub(crate) async fn exchange<T: Send + 'static>(
        &self,
        clock: &Clock,
        serve: impl Fn() -> T + Send + Sync + Clone + 'static,
    ) -> Result<T> {
        match self.fate() {
            Fate::Arrives { twice, reply } => {
                self.travel(clock).await;
                let answer = serve();
                if twice {
                    let later = self.draw(&(Duration::ZERO..self.timeout * 2));
                    self.later(clock, later, serve);
                }
                if !reply || self.link.is_cut() {
                    return self.time_out(clock).await;
                }
                self.travel(clock).await;
                Ok(answer)
            }
            Fate::Late(by) => {
                self.later(clock, by, serve);
                self.time_out(clock).await
            }
            Fate::Lost => self.time_out(clock).await,
        }
    }

    /// Carries an event; answers whether it arrived.
    pub(crate) async fn carry_event(&self, clock: &Clock) -> bool {
        self.travel(clock).await;
        !self.link.is_cut() && !self.chance(self.lost_events)
    }

    fn fate(&self) -> Fate {
        if self.link.is_cut() || self.chance(self.lost_requests) {
            return Fate::Lost;
        }
        if self.chance(self.late) {
            return Fate::Late(self.draw(&(self.timeout..self.timeout * 3)));
        }
        Fate::Arrives { twice: self.chance(self.duplicates), reply: !self.chance(self.lost_replies) }
    }

    fn later<T: Send + 'static>(&self, clock: &Clock, after: Duration, serve: impl Fn() -> T + Send + 'static) {
        let clock = clock.clone();
        tokio::spawn(async move {
            clock.sleep(after).await;
            drop(serve());
        });
    }

    fn travel(&self, clock: &Clock) -> impl Future<Output = ()> + use<> {
        let time = self.draw(&self.delay);
        let clock = clock.clone();
        async move {
            if !time.is_zero() {
                clock.sleep(time).await;
            }
        }
    }

    async fn time_out<T>(&self, clock: &Clock) -> Result<T> {
        clock.sleep(self.timeout).await;
        let text = format!("the memory store did not answer within {:?}", self.timeout);
        Err(Error::new(ErrorKind::Unavailable, text).with_landed(Landed::Maybe))
    }

    fn chance(&self, share: f64) -> bool {
        share > 0.0 && self.random.lock().unwrap_or_else(PoisonError::into_inner).f64() < share
    }

    fn draw(&self, range: &Range<Duration>) -> Duration {
        if range.is_empty() {
            return range.start;
        }
        let share = self.random.lock().unwrap_or_else(PoisonError::into_inner).f64();
        range.start + (range.end - range.start).mul_f64(share)
    }
}

impl Link {
    /// From now on nothing gets through, either way.
    pub fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// From now on things get through again.
    pub fn heal(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
