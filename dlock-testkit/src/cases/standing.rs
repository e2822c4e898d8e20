//! A holder and one who waits behind it, while something happens to the servers.

use std::time::Duration;

use dlock_core::{Clock, ErrorKind, Fence, Guard, Instant, Locks, Result, Token};
use tokio::task::JoinHandle;

use crate::Lab;

/// One client holds "a", another waits for it.
pub(super) struct Standing {
    pub(super) one: Locks,
    pub(super) held: Guard,
    pub(super) next: JoinHandle<Result<Guard>>,
    pub(super) clock: Clock,
    two: Locks,
    token: Token,
    ttl: Duration,
}

impl Standing {
    pub(super) async fn of(lab: &Lab, ttl: Duration) -> Self {
        let (one, two) = (patient(lab, ttl).await, patient(lab, ttl).await);
        let held = one.lock("a").unwrap().acquire().await.unwrap();
        let token = held.token().unwrap();
        let next = lab.line_up(&two, &two.lock("a").unwrap()).await;
        Self { one, held, next, clock: Clock::system(), two, token, ttl }
    }

    /// The token of a lock that is taken and released now.
    pub(super) async fn token_of(&self, lab: &Lab, name: &str) -> Token {
        // However slow the release is, the lease is not lost before.
        let lock = self.two.lock(name).unwrap().with_ttl(lab.long_ttl()).unwrap();
        let guard = lab.soon("a free name is granted", lock.acquire()).await.unwrap();
        let token = guard.token().unwrap();
        lab.soon("a release is answered", guard.release()).await.unwrap();
        token
    }

    /// Waits until the holder has heard from the service again, or lost its lock, which it may only
    /// if it was kept waiting for longer than renewals take to be missed.
    pub(super) async fn is_lost_after(&self, lab: &Lab, since: Instant) -> bool {
        let believed = self.held.lease().ok().and_then(|lease| lease.valid_until);
        lab.until("the holder has heard from the service", || async {
            self.held.lease().map_or(true, |lease| lease.valid_until > believed)
        })
        .await;
        let lost = !self.held.is_held();
        let silence = self.clock.now().since(since);
        assert!(!lost || silence > self.ttl / 2, "a lock of {:?} was lost after {silence:?}", self.ttl);
        lost
    }

    /// The holder releases, or has lost its lock for good; then the waiter is granted.
    pub(super) async fn end_in_order(self, lab: &Lab, lost: bool) {
        let released = if lost {
            assert!(!self.held.is_held());
            lab.soon("a release is answered", self.held.release()).await
        } else {
            assert!(!self.next.is_finished(), "another was granted what is held");
            assert_eq!(self.held.token().expect("it is held"), self.token);
            lab.soon("the holder releases", self.held.release()).await
        };
        assert_eq!(released.err().map(|error| error.kind()), lost.then_some(ErrorKind::Lost));
        let mut next = lab.soon("the waiter is granted", self.next).await.unwrap().expect("it waits on");
        let token = match next.token() {
            // What took the lock from the holder may take it from the next one, just granted.
            Err(_) if lost => {
                next = lab.soon("it acquires anew", self.two.lock("a").unwrap().acquire()).await.unwrap();
                next.token()
            }
            token => token,
        };
        assert_fenced_or_grown(self.token, token.unwrap());
        if let Some(third) = self.one.lock("a").unwrap().try_acquire().await.unwrap() {
            // It may not have heard of that yet.
            assert!(lost, "a third was granted what is held");
            lab.soon("the next one is told of its loss, too", next.lost()).await;
            return lab.soon("the third one releases", third.release()).await.unwrap();
        }
        lab.soon("the next one releases", next.release()).await.unwrap();
    }
}

/// A client that repeats its requests for as long as the trouble may last.
pub(super) async fn patient(lab: &Lab, ttl: Duration) -> Locks {
    lab.client_with(|builder| builder.ttl(ttl).retry_for(Duration::from_secs(120))).await
}

/// Waits until a renewal is answered, and fails the case if the lease is lost.
pub(super) async fn renewed(lab: &Lab, held: &Guard) {
    let believed = held.lease().expect("it is held").valid_until;
    lab.until("the lease is renewed", || async { held.lease().expect("it is held").valid_until > believed }).await;
}

/// The token of one who came later is higher, or of another epoch, which a fence notices.
pub(super) fn assert_fenced_or_grown(before: Token, after: Token) {
    let mut fence = Fence::default();
    fence.check(before).expect("it is the first");
    if before.epoch == after.epoch {
        assert!(after.value > before.value, "{after} is not higher than {before}");
        fence.check(after).expect("it is higher");
    } else {
        fence.check(after).expect_err("a fence notices that the history was lost");
        fence.accept_epoch(after.epoch);
        fence.check(after).expect("the epoch was accepted");
    }
    fence.check(before).expect_err("the one before is refused");
}
