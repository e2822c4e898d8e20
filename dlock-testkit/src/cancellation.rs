//! Acquires that nobody waits for to the end.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Capability, Guard, Lock, Locks, Owner, Result};
use fastrand::Rng;
use futures::future::{Either, join_all, poll_immediate, select};

/// How the acquires of [`drop_at_random`] ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Dropped before they were done.
    pub in_flight: usize,
    /// Done first: a guard was returned, and dropped.
    pub granted: usize,
    /// Done first: others held the name.
    pub refused: usize,
    /// Done first: the service did not answer.
    pub failed: usize,
}

/// So many acquires are under way at the same time.
const AT_ONCE: usize = 16;

/// Starts `times` acquires of a few names from `clients`, in all modes that they offer, and drops
/// each at a random point of its life; a guard that comes first is dropped or released at once.
/// The same seed makes the same choices. Afterwards nothing must stay on the service.
///
/// # Panics
/// When the clients refuse the names, or have not been connected to anything.
pub async fn drop_at_random(clients: &[Locks], seed: u64, times: usize) -> Dropped {
    let users: Arc<[User]> =
        clients.iter().map(|locks| User { locks: locks.clone(), owner: locks.owner("shared") }).collect();
    let workers = (0..AT_ONCE).map(|worker| {
        let (users, mine) = (users.clone(), times / AT_ONCE + usize::from(worker < times % AT_ONCE));
        tokio::spawn(async move {
            let mut random = Rng::with_seed(seed.wrapping_mul(AT_ONCE as u64).wrapping_add(worker as u64));
            let mut ended = Dropped::default();
            for _ in 0..mine {
                let lock = any_lock(&users, &mut random);
                let patience = Duration::from_micros(random.u64(0..3000));
                match random.u8(0..4) {
                    0 => ended.note(cut_short(lock.try_acquire(), &mut random).await).await,
                    1 => ended.note(cut_short(lock.acquire_within(patience), &mut random).await).await,
                    _ => ended.note(cut_short(async { lock.acquire().await.map(Some) }, &mut random).await).await,
                }
            }
            ended
        })
    });
    let ended = join_all(workers).await.into_iter();
    ended.fold(Dropped::default(), |sum, worker| sum.plus(worker.expect("dropping an acquire never panics")))
}

/// How often random rounds are run: `DLOCK_ROUNDS` from the environment, or else `default`.
#[must_use]
pub fn rounds(default: usize) -> usize {
    std::env::var("DLOCK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

impl Dropped {
    async fn note(&mut self, ended: Option<Result<Option<Guard>>>) {
        match ended {
            None => self.in_flight += 1,
            Some(Ok(Some(guard))) => {
                self.granted += 1;
                // Others want it; every other guard is left to its drop.
                if self.granted.is_multiple_of(2) {
                    let _ = guard.release().await;
                }
            }
            Some(Ok(None)) => self.refused += 1,
            Some(Err(_)) => self.failed += 1,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            in_flight: self.in_flight + other.in_flight,
            granted: self.granted + other.granted,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
        }
    }
}

/// One client, and an owner there whose acquires join each other.
struct User {
    locks: Locks,
    owner: Owner,
}

fn any_lock(users: &[User], random: &mut Rng) -> Lock {
    let User { locks: client, owner } = &users[random.usize(..users.len())];
    let has = |capability| client.info().capabilities.has(capability);
    let name = random.u8(0..3);
    let lock = match random.u8(0..4) {
        0 if has(Capability::Shared) => client.rw_lock(format!("a{name}")).map(|lock| lock.read().clone()),
        1 if has(Capability::Permits) => client.semaphore(format!("s{name}"), 2).map(|lock| lock.as_lock().clone()),
        2 => owner.lock(format!("a{name}")),
        _ => client.lock(format!("a{name}")),
    };
    lock.expect("the names are valid and the mode is declared")
}

/// Drives the acquire for a while, and drops it if it is not done by then: after some polls
/// without any pause, or after some milliseconds.
async fn cut_short(
    acquire: impl Future<Output = Result<Option<Guard>>>,
    random: &mut Rng,
) -> Option<Result<Option<Guard>>> {
    let mut acquire = std::pin::pin!(acquire);
    if random.bool() {
        for _ in 0..random.u8(0..6) {
            if let Some(done) = poll_immediate(acquire.as_mut()).await {
                return Some(done);
            }
            tokio::task::yield_now().await;
        }
        return None;
    }
    let longest = if random.bool() { 5000 } else { 40_000 };
    let pause = std::pin::pin!(tokio::time::sleep(Duration::from_micros(random.u64(0..longest))));
    match select(acquire, pause).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
