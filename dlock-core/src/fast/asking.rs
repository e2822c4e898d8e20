use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready as ready_or_pending};

use futures::FutureExt;

use super::{Fast, Fresh, Kept, Seat, Taking};
use crate::client::{Client, Start};
use crate::lease::Cell;
use crate::{Grant, Life, Result};

/// A caller's own attempt to take a name. Ready when the attempt has come to something or is in
/// the keeper's hands; dropped before, it is handed to the keeper with the request that is under way.
pub(crate) struct Asking<'a> {
    client: &'a Client,
    fast: &'a Fast,
    seat: Arc<Seat>,
}

impl<'a> Asking<'a> {
    /// Begins; gives `start` back when the keeper is to be asked at once.
    pub(crate) fn begin(client: &'a Client, start: Box<Start>) -> std::result::Result<Self, Box<Start>> {
        let Some(fast) = client.fast() else { return Err(start) };
        // What is not offered, the keeper refuses.
        if client.require_mode(start.claim.mode).is_err() {
            return Err(start);
        }
        start.attempt.set_claim(start.claim.id);
        let seat = fast.ask(start)?;
        Ok(Self { client, fast, seat })
    }

    fn settle(&self, start: Box<Start>, answer: Result<Option<(Grant, Life)>>) {
        let now = self.client.clock.now();
        let ttl = start.claim.ttl;
        let is_fresh = |life: &Life| life.valid_until().is_none_or(|until| until.since(now) >= ttl / 2);
        let (grant, life) = match answer {
            // A life that is half over is renewed before it is handed out.
            Ok(Some((grant, life))) if is_fresh(&life) => (grant, life),
            other => return self.hand_over(start, ready(other).boxed()),
        };
        let (claim, name, clock) = (start.claim.id, start.claim.name.clone(), self.client.clock.clone());
        let cell = Arc::new(Cell::new(claim, name, grant, clock, life.valid_until()));
        let (slot, attempt) = (start.slot.clone(), start.attempt.clone());
        let fresh = Fresh { start, cell: cell.clone(), life, since: now, suspect: false };
        match self.fast.keep(fresh) {
            Kept::Later => {}
            Kept::Wake => self.client.wake_keeper(),
            Kept::Closing(start) => return self.hand_over(start, ready(Ok(Some((grant, life)))).boxed()),
        }
        if !slot.granted(&attempt, &cell) {
            self.client.release_later(claim);
        }
    }

    /// The keeper notes that the attempt is over when it takes it on: until then it must not end, nor
    /// miss what happens to the claim.
    fn hand_over(&self, start: Box<Start>, taking: Taking) {
        let claim = start.claim.id;
        if !self.client.hand_over(start, taking) {
            self.fast.asked(claim);
        }
    }
}

impl Future for Asking<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some((start, answer)) = ready_or_pending!(self.seat.poll(context)) {
            self.settle(start, answer);
        }
        Poll::Ready(())
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some((start, taking)) = self.seat.take() {
            self.hand_over(start, taking);
        }
    }
}
