//! The seats of this client, which its claims take in turn.
//!
//! etcd remembers each key that ever was until it is compacted, and a range has to pass all of
//! them. With a key of its own for each claim a name would cost more with every time that it was
//! held. So a claim's key is called after a seat, and who leaves a seat makes room for the next.

use std::sync::{Mutex, MutexGuard};

use dlock_core::ClaimId;

use crate::keys::Seat;

/// Seats that nobody sits in, and those to come.
#[derive(Debug)]
pub(crate) struct Seats(Mutex<Pool>);

#[derive(Debug)]
struct Pool {
    /// Who this client is: random, as a claim's identity is.
    client: ClaimId,
    free: Vec<u32>,
    made: u32,
}

impl Seats {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Pool::new()))
    }

    /// A seat in which nobody sits, and for which nothing is under way.
    pub(crate) fn take(&self) -> Seat {
        let mut pool = self.pool();
        let number = pool.free.pop().unwrap_or_else(|| {
            pool.made += 1;
            pool.made - 1
        });
        Seat { client: pool.client, number }
    }

    /// The claim is gone, and every request for it was answered. Otherwise its seat stays empty for
    /// ever: what arrives late would hit the next who sits there.
    pub(crate) fn give_back(&self, seat: Seat) {
        let mut pool = self.pool();
        if seat.client == pool.client {
            pool.free.push(seat.number);
        }
    }

    /// In another history any seat may be taken by claims that had ended.
    pub(crate) fn begin_anew(&self) {
        *self.pool() = Pool::new();
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().expect("no panic while locked")
    }
}

impl Pool {
    fn new() -> Self {
        Self { client: ClaimId::random(), free: Vec::new(), made: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_taken_again_only_after_it_was_given_back() {
        let seats = Seats::new();
        let (one, two) = (seats.take(), seats.take());
        assert_ne!(one, two);
        seats.give_back(one);
        assert_eq!(seats.take(), one);
        assert!(![one, two].contains(&seats.take()));
    }

    #[test]
    fn seats_of_another_history_do_not_come_back() {
        let seats = Seats::new();
        let old = seats.take();
        seats.begin_anew();
        seats.give_back(old);
        assert_ne!(seats.take().client, old.client);
    }
}
