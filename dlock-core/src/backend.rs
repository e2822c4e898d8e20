//! The contract between dlock and a coordination service.

mod contention;
mod fast_path;
mod info;
mod lines;
mod state;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use self::contention::Contention;
pub use self::fast_path::{FastAnswer, FastPath};
pub use self::info::{BackendInfo, Capabilities, Capability, TtlBounds};
pub use self::lines::{Line, Lines};
pub use self::state::{ClaimInfo, DamagedEntry, LockState, NamePage, Page};
use crate::{
    Claim, ClaimId, ClaimRef, Clock, Error, ErrorKind, Instant, LockName, Mode, NamePrefix, Namespace, Result, Token,
};

/// Connects to a coordination service: what an application hands to `Locks::builder`.
///
/// Configuration is plain data and is checked before; connecting happens on the keeper's thread,
/// so that the client library's background tasks live as long as the keeper does.
#[async_trait]
pub trait Connect: Debug + Send + 'static {
    /// Connects, and proves that the peer is the service that was asked for.
    ///
    /// # Errors
    /// `InvalidInput` for a configuration that can never work, `Unavailable` when nobody answers,
    /// `Denied` when the login is refused, `Protocol` when the peer is something else.
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>>;
}

#[async_trait]
impl Connect for Box<dyn Connect> {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        (*self).connect(context).await
    }
}

/// What the keeper tells a backend that connects.
#[derive(Clone, Debug)]
pub struct ConnectContext {
    /// Everything the backend stores is kept apart by this.
    pub namespace: Namespace,
    /// The clock that lives are read from.
    pub clock: Clock,
}

/// One coordination service, reduced to the facts that locks need.
///
/// Implement this to bring a service to dlock, and prove it with `dlock-testkit`. A backend
/// reports facts; dlock-core decides: it computes validity, counts reentrancy, retries, signals
/// loss and cleans up.
///
/// # Contract
/// - **Where it runs.** All methods run on the keeper's tokio runtime (one thread), where the
///   backend may spawn tasks. They must not block that thread for more than a moment.
/// - **Idempotent by claim id.** Every method may be repeated with the same claim, also while an
///   earlier call is in doubt, and then answers for what is there now. A claim id that was
///   withdrawn is never requested again.
/// - **Bounded.** Every method ends within [`BackendInfo::request_timeout`], if need be with an
///   `Unavailable` error whose [`Error::landed`](crate::Error::landed) says whether the request
///   could have been applied. Core awaits every mutating call to its end.
/// - **Order.** A claim stands where it was first registered. It is held when
///   [`Mode::admission`] says so of the live claims before it.
/// - **Events make it fast, `renew` is the truth.** A grant or a loss is pushed where the service
///   can; whatever was not pushed is found by the next `renew`.
/// - **Shared sessions.** Where several claims live on one session, a claim whose `request` is in
///   doubt must not be left to live on it: `withdraw` answers [`Withdrawn::Absent`] for it only
///   when the lost request can no longer arrive; otherwise the backend retires the session (no
///   new claims; ended with its last live claim).
/// - **Other people's data.** What cannot be parsed under a name blocks the name, shows in
///   `inspect` as damaged, and is removed by nobody but `clear_damage`.
#[async_trait]
pub trait LockBackend: Debug + Send + Sync + 'static {
    /// What the backend is and can do. Constant.
    fn info(&self) -> &BackendInfo;

    /// Registers the claim.
    ///
    /// # Behavior
    /// - Answers [`Requested::Held`] with its grant when nothing stands before it.
    /// - Otherwise, with [`Queue::Yes`], leaves it queued and sends [`Event::Granted`] when it
    ///   comes to hold; with [`Queue::No`], leaves nothing behind and answers
    ///   [`Requested::Refused`].
    /// - Repeated for a claim that is registered, it answers for the claim as it stands. The life
    ///   in the answer is that of this request only if it reset the server's timer, otherwise
    ///   that of the last answered request which did.
    /// - Repeated for a claim that was registered and has lapsed, it registers it anew at the end of
    ///   the line, or answers `Lost`; it never answers from what was remembered of it.
    ///
    /// # Errors
    /// `Mismatch` when a live claim before it uses the name in a mode that cannot be combined,
    /// `Damaged` when the name is blocked by something unreadable: in both cases nothing stays
    /// behind. `Unsupported` for a mode that is not declared.
    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested>;

    /// Keeps claims alive, queued and held alike, in as few round trips as the service allows,
    /// and reports how each stands. One answer per claim, in order.
    ///
    /// # Behavior
    /// - A renewal that finds the claim absent answers [`Renewal::Gone`] and never re-creates it.
    /// - [`Renewal::Alive`] carries the grant whenever the claim is held.
    /// - A claim that this backend never registered is `Gone`.
    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>>;

    /// Removes the claim, held or queued, and lets those behind it be granted.
    ///
    /// # Behavior
    /// - Removes this claim id and nothing else, whoever registered it ([`Why::Break`]).
    /// - Answers [`Withdrawn::Absent`] when there was nothing to remove, under the conditions in
    ///   the contract's paragraph on shared sessions.
    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn>;

    /// Changes a held claim's mode without a gap, and lets those be granted whom it no longer
    /// blocks. Only from exclusive to shared; repeated for a claim that is shared already, it
    /// answers its grant.
    ///
    /// # Errors
    /// `Unsupported` where [`Capability::Downgrade`] is not declared, and for any other change; `Lost` when the claim is not
    /// held.
    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant>;

    /// Who holds the name and who waits, in arrival order, and what is damaged. Reads only.
    async fn inspect(&self, name: &LockName) -> Result<LockState>;

    /// Names that have a claim or something damaged, page by page. A page may be empty and yet
    /// have a successor; a name may appear on two pages while claims come and go.
    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage>;

    /// Removes one entry that `inspect` reported as damaged, if it still is as it was seen.
    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn>;

    /// What happens to this backend's claims. Taken once, by the keeper.
    fn events(&self) -> BoxStream<'static, Event>;

    /// A descriptor that keeps the claim alive while any copy of it is open, for a child process
    /// to inherit; `None` where claims do not live by descriptors.
    ///
    /// # Errors
    /// `Lost` when the claim is not held by this process.
    #[cfg(unix)]
    fn lifeline(&self, claim: &ClaimRef) -> Result<Option<std::os::fd::OwnedFd>> {
        let _ = claim;
        Ok(None)
    }

    /// A short cut for callers, where going by the keeper is measured to cost much. Asked for once.
    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        None
    }

    /// Ends sessions, tasks and connections. Claims still registered are left to lapse, unless
    /// they end with the session. Called once, last.
    async fn close(&self) -> Result<()>;
}

/// Whether a request that is not granted at once should wait its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Stay in line.
    Yes,
    /// Leave nothing behind.
    No,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The claim is held.
    Held(Grant, Life),
    /// The claim stands in line.
    Queued(Life),
    /// Others stand before it, and it did not want to wait: nothing of it is left.
    Refused,
}

/// How a claim stands, by a renewal's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It is registered.
    Alive {
        /// The life as of this answer.
        life: Life,
        /// The grant, if it is held.
        grant: Option<Grant>,
        /// Ask again after this time at the latest, before the next renewal is due.
        recheck: Option<Duration>,
    },
    /// It is not registered, and never will be again.
    Gone(Gone),
}

/// Why a claim is no longer registered.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gone {
    /// The server has no such claim: it expired, was deleted, or was broken.
    Absent,
    /// The session it lived on has ended.
    Session,
    /// Its entry was changed by somebody else and no longer counts as this claim.
    Altered,
}

/// Something the service pushed about a claim of this backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The claim is held now. Confirmed by the server, not guessed from a wake-up.
    Granted(ClaimId, Grant),
    /// The claim is gone.
    Gone(ClaimId, Gone),
    /// Something may have been missed: renew these claims now, and re-check.
    Suspect(Scope),
}

/// Which claims an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All claims of this backend.
    All,
    /// All claims on one name.
    Name(LockName),
    /// One claim.
    Claim(ClaimId),
}

/// How long the server keeps a claim, as far as this client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When the last answered request that reset the server's timer was *sent*.
    pub sent_at: Instant,
    /// For how long the server then granted life.
    pub ttl: Ttl,
}

/// What a life is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// This long after the server received the renewal.
    For(Duration),
    /// The life of the process that holds the descriptor.
    Process,
}

/// A claim came to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its fencing token, minted once.
    pub token: Token,
    /// How the last holder before it went, where the backend can tell.
    pub predecessor: Option<Predecessor>,
}

/// How a holder went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Predecessor {
    /// It released.
    Released,
    /// Its life lapsed or it was broken: what it guarded may be half done.
    Vanished,
}

/// Why a claim is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its holder is done.
    Release,
    /// Nobody waits for it any more.
    Cancel,
    /// An operator ends somebody else's claim.
    Break,
}

/// What a withdrawal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withdrawn {
    /// The claim was there and is removed.
    Removed,
    /// There was no such claim, and none can appear any more.
    Absent,
}

impl Event {
    /// Which claims it is about.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Granted(claim, _) | Self::Gone(claim, _) => Scope::Claim(*claim),
            Self::Suspect(scope) => scope.clone(),
        }
    }
}

impl Life {
    /// A life of `ttl`, renewed by a request that was sent at `sent_at`.
    #[must_use]
    pub fn new(sent_at: Instant, ttl: Duration) -> Self {
        Self { sent_at, ttl: Ttl::For(ttl) }
    }

    /// The life of something that ends with the process.
    #[must_use]
    pub fn of_process(since: Instant) -> Self {
        Self { sent_at: since, ttl: Ttl::Process }
    }

    /// Until when the claim may be believed: `sent_at` plus the ttl less the margin for clock
    /// drift and late signals, 1 % of the ttl and at least 50 ms. `None` for a process's life.
    #[must_use]
    pub fn valid_until(&self) -> Option<Instant> {
        match self.ttl {
            Ttl::Process => None,
            Ttl::For(ttl) => {
                let margin = (ttl / 100).max(Duration::from_millis(50));
                Some(self.sent_at + ttl.saturating_sub(margin))
            }
        }
    }
}

impl Capabilities {
    /// Refuses what is not declared.
    ///
    /// # Errors
    /// `Unsupported`, naming the capability and the backend.
    pub fn require(&self, capability: Capability, scheme: &str) -> Result<()> {
        if self.has(capability) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, format!("the {scheme} backend does not offer {capability}")))
    }
}
