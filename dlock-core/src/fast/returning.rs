use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;

use super::{Fast, Fresh};
use crate::client::Client;
use crate::keeper::unpanicked;
use crate::{FastAnswer, Withdrawn};

/// A caller's own attempt to give back a claim that is not in the keeper's care. It answers whether
/// that worked; if not, or when it is dropped before, the claim is in the keeper's hands.
pub(crate) struct Returning<'a> {
    client: &'a Client,
    under_way: Option<(Fresh, FastAnswer<Withdrawn>)>,
}

/// How an attempt to give a claim back ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// The service has confirmed it.
    Done,
    /// The keeper withdraws the claim.
    ByKeeper,
}

impl<'a> Returning<'a> {
    pub(crate) fn begin(client: &'a Client, fast: &Fast, fresh: Fresh) -> Self {
        let claim = fresh.start.claim.to_ref();
        let giving = fresh.cell.is_held().then(|| fast.path.give_back(&claim)).flatten();
        let giving = giving.unwrap_or_else(|| std::future::ready(Ok(None)).boxed());
        Self { client, under_way: Some((fresh, giving)) }
    }
}

impl Future for Returning<'_> {
    type Output = Returned;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Returned> {
        let Some((_, giving)) = &mut self.under_way else { return Poll::Ready(Returned::Done) };
        let polled = unpanicked(|| Ok(giving.as_mut().poll(context)));
        if matches!(polled, Ok(Poll::Pending)) {
            return Poll::Pending;
        }
        if matches!(polled, Ok(Poll::Ready(Ok(Some(_))))) {
            self.under_way = None;
            return Poll::Ready(Returned::Done);
        }
        if let Some((fresh, _)) = self.under_way.take() {
            self.client.withdraw(fresh);
        }
        Poll::Ready(Returned::ByKeeper)
    }
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        if let Some((fresh, _)) = self.under_way.take() {
            self.client.withdraw(fresh);
        }
    }
}
