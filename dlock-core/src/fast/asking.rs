use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;

use super::{Fast, Kept, Taking};
use crate::client::{Client, Start};
use crate::keeper::unpanicked;
use crate::lease::Cell;
use crate::{Grant, Life, Result};

/// A caller's own attempt to take a name. Ready when the attempt has come to something or is in
/// the keeper's hands; dropped before, it is handed to the keeper with the request that is under way.
pub(crate) struct Asking<'a> {
    client: &'a Client,
    fast: &'a Fast,
    under_way: Option<(Box<Start>, Taking)>,
}

impl<'a> Asking<'a> {
    /// Begins; gives `start` back when the keeper is to be asked at once.
    pub(crate) fn begin(client: &'a Client, start: Box<Start>) -> std::result::Result<Self, Box<Start>> {
        let Some(fast) = client.fast() else { return Err(start) };
        // What is not offered, the keeper refuses.
        if client.require_mode(start.claim.mode).is_err() {
            return Err(start);
        }
        let Some(taking) = fast.ask(&start) else { return Err(start) };
        start.attempt.set_claim(start.claim.id);
        Ok(Self { client, fast, under_way: Some((start, taking)) })
    }

    fn settle(&self, start: Box<Start>, answer: Result<Option<(Grant, Life)>>) {
        let (grant, life) = match answer {
            // A life that is half over is renewed before it is handed out.
            Ok(Some((grant, life))) if self.is_fresh(&life, start.claim.ttl) => (grant, life),
            other => return self.hand_over(start, ready(other).boxed()),
        };
        let (claim, name, clock) = (start.claim.id, start.claim.name.clone(), self.client.clock.clone());
        let cell = Arc::new(Cell::new(claim, name, grant, clock, life.valid_until()));
        let (slot, attempt) = (start.slot.clone(), start.attempt.clone());
        match self.fast.keep(start, cell.clone(), life) {
            Kept::Later => {}
            Kept::Wake => self.client.wake_keeper(),
            Kept::Closing(start) => return self.hand_over(start, ready(Ok(Some((grant, life)))).boxed()),
        }
        if !slot.granted(&attempt, &cell) {
            self.client.release_later(claim);
        }
    }

    fn is_fresh(&self, life: &Life, ttl: Duration) -> bool {
        life.valid_until().is_none_or(|until| until.since(self.client.clock.now()) >= ttl / 2)
    }

    fn hand_over(&self, start: Box<Start>, taking: Taking) {
        let claim = start.claim.id;
        self.client.hand_over(start, taking);
        // Only now, so that a keeper that closes waits for it.
        if self.fast.asked(claim) {
            self.client.wake_keeper();
        }
    }
}

impl Future for Asking<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some((_, taking)) = &mut self.under_way else { return Poll::Ready(()) };
        let polled = unpanicked(|| Ok(taking.as_mut().poll(context)));
        let answer = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer,
            Err(panicked) => Err(panicked),
        };
        if let Some((start, _)) = self.under_way.take() {
            self.settle(start, answer);
        }
        Poll::Ready(())
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some((start, taking)) = self.under_way.take() {
            self.hand_over(start, taking);
        }
    }
}
