//! The one clock.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// The longest nap between two looks at the clock, so that a suspended machine is noticed.
const NAP: Duration = Duration::from_millis(500);

/// A reading of a [`Clock`]: nanoseconds since that clock's origin. Comparable only with other
/// readings of clocks of the same kind on the same boot of the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// A reading from nanoseconds since the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` less `span`, stopping at the clock's origin.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

/// Later by `span`; a span past the end of the clock (some 580 years) stops there.
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Where dlock reads the time: never the wall clock.
///
/// On Linux the system clock is `CLOCK_BOOTTIME`, which goes on while the machine is suspended;
/// elsewhere it is the monotonic clock. Tests may follow tokio's clock, which they can pause.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Tokio(tokio::time::Instant),
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that follows tokio's, which starts at zero now. For tests with paused time; it must
    /// be read where a tokio runtime is entered.
    #[must_use]
    pub fn tokio() -> Self {
        Self(Source::Tokio(tokio::time::Instant::now()))
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => system_now(),
            // A second past the origin, so that subtraction has room.
            Source::Tokio(origin) => Instant(1_000_000_000 + nanos(origin.elapsed())),
        }
    }

    /// Waits until `at`. Never sleeps longer than half a second without a look at the clock.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn sleep_until(&self, at: Instant) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP)).await;
        }
    }

    /// Waits for `span`, by this clock.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn system_now() -> Instant {
    timespec(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_now() -> Instant {
    timespec(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

fn timespec(time: rustix::time::Timespec) -> Instant {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::System => "Clock(system)",
            Source::Tokio(_) => "Clock(tokio)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflowing_spans_stop_at_the_end() {
        let now = Clock::system().now();
        assert_eq!(now + Duration::MAX, Instant::from_nanos(u64::MAX));
        assert_eq!(now.minus(Duration::MAX), Instant::from_nanos(0));
        assert_eq!(now.since(now + Duration::from_secs(1)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tokio_clock_follows_paused_time() {
        let clock = Clock::tokio();
        let start = clock.now();
        clock.sleep(Duration::from_secs(3600)).await;
        assert!(clock.now().since(start) >= Duration::from_secs(3600));
    }
}
