use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;

use super::Fast;
use crate::client::Client;
use crate::keeper::unpanicked;
use crate::{ClaimId, FastAnswer, Withdrawn};

/// A caller's own attempt to give back a claim that is not in the keeper's care. It answers whether
/// that worked; if not, the keeper is to be told, and is told when it is dropped before.
pub(crate) struct Returning<'a> {
    client: &'a Client,
    fast: &'a Fast,
    claim: ClaimId,
    giving: Option<FastAnswer<Withdrawn>>,
}

/// How an attempt to give a claim back ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// The service has confirmed it.
    Done,
    /// It is in the keeper's care.
    Not,
}

impl<'a> Returning<'a> {
    /// Begins; `None` when the claim is in the keeper's care already.
    pub(crate) fn begin(client: &'a Client, fast: &'a Fast, claim: ClaimId) -> Option<Self> {
        let giving = fast.begin_return(claim)?;
        let giving = fast.path.give_back(&giving).unwrap_or_else(|| ready(Ok(None)).boxed());
        Some(Self { client, fast, claim, giving: Some(giving) })
    }
}

impl Future for Returning<'_> {
    type Output = Returned;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Returned> {
        let Some(giving) = &mut self.giving else { return Poll::Ready(Returned::Done) };
        let polled = unpanicked(|| Ok(giving.as_mut().poll(context)));
        if matches!(polled, Ok(Poll::Pending)) {
            return Poll::Pending;
        }
        self.giving = None;
        let returned = if matches!(polled, Ok(Poll::Ready(Ok(Some(_))))) { Returned::Done } else { Returned::Not };
        self.fast.end_return(self.claim, returned);
        Poll::Ready(returned)
    }
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        if self.giving.take().is_some() {
            self.fast.end_return(self.claim, Returned::Not);
            self.client.release_later(self.claim);
        }
    }
}
