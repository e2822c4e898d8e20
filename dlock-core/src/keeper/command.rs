use std::sync::Arc;

use tokio::sync::oneshot;

use super::Health;
use crate::client::Start;
use crate::fast::Taking;
use crate::slot::Attempt;
use crate::{
    ClaimId, ClaimRef, DamagedEntry, Instant, LockName, LockState, NamePage, NamePrefix, Page, Result, Withdrawn,
};

/// Where the answer to a command goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// What handles and guards ask of the keeper.
pub(crate) enum Command {
    Start(Box<Start>),
    /// The caller's own attempt, which it does not wait for any more.
    Adopt(Box<Start>, Taking),
    /// There is something new on the fast path.
    Wake,
    Abandon(Arc<Attempt>),
    Release(ClaimId, Answer<Withdrawn>),
    Downgrade(ClaimId, Answer<()>),
    #[cfg(unix)]
    Lifeline(ClaimId, Answer<Option<std::os::fd::OwnedFd>>),
    Alarm(Instant, oneshot::Sender<()>),
    Inspect(LockName, Answer<LockState>),
    List(NamePrefix, Page, Answer<NamePage>),
    Break(ClaimRef, Answer<Withdrawn>),
    ClearDamage(LockName, DamagedEntry, Answer<Withdrawn>),
    Health(Answer<Health>),
    Close(Option<Answer<()>>),
}
