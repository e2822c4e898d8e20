use std::fmt::Debug;

use futures::future::BoxFuture;

use crate::{Claim, ClaimRef, Grant, Life, Result, Withdrawn};

/// What a request on a [`FastPath`] comes to; `None` when it takes more than that.
pub type FastAnswer<T> = BoxFuture<'static, Result<Option<T>>>;

/// A way to take a free name, and to give it back, that callers go by themselves: a hand-over to the
/// keeper's thread and back costs more than a request does where the service is near.
///
/// It is only ever a short cut. Whatever it does not settle, the keeper settles by the methods of
/// [`LockBackend`](super::LockBackend), with the same claim id.
///
/// # Contract
/// - **Where it runs.** Both methods are called on the caller's thread, maybe without any runtime
///   around, and must not block. The futures are polled there. That of `take` is handed to the
///   keeper when the caller goes away or does not poll it for a while, and is not dropped before
///   its time is over. That of `give_back` is dropped when the caller goes away; the keeper then
///   withdraws the claim, and may do so while the future is still under way.
/// - **Bounded.** A future ends within [`BackendInfo::request_timeout`](super::BackendInfo) even when
///   the service hangs. The runtime that polls it may have no timer.
pub trait FastPath: Debug + Send + Sync + 'static {
    /// Takes the claim's name if nobody claims it. `None` when that is not to be tried now.
    ///
    /// The future answers `None` when the claim is not held and nothing of it is left on the service;
    /// an error says by [`Error::landed`](crate::Error::landed) whether the claim may have been
    /// registered, or may be within [`BackendInfo::request_timeout`](super::BackendInfo). The keeper
    /// then requests the claim.
    fn take(&self, claim: &Claim) -> Option<FastAnswer<(Grant, Life)>>;

    /// Gives back what [`FastPath::take`] took. `None` when that is not to be tried now.
    ///
    /// The future answers `None` when it takes more than this; then, and after any error, the keeper
    /// withdraws the claim.
    fn give_back(&self, claim: &ClaimRef) -> Option<FastAnswer<Withdrawn>>;
}
