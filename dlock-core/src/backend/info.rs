//! What a backend declares about itself.

use std::fmt;
use std::time::Duration;

use crate::{Error, ErrorKind, Mode, Result, TokenGuarantee};

/// What a backend is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// The URL scheme, which also names the backend in messages.
    pub scheme: &'static str,
    /// What it offers. Anything else is refused with `Unsupported`.
    pub capabilities: Capabilities,
    /// Which ttls the service accepts.
    pub ttl: TtlBounds,
    /// How long after its ttl a dead client's claim may still stand before the next is granted,
    /// at worst, while the service is healthy.
    pub grace: Duration,
    /// How far its fencing tokens can be trusted.
    pub tokens: TokenGuarantee,
    /// Every request ends within this time.
    pub request_timeout: Duration,
    /// A grant whose notification got lost is found within this time.
    pub missed_event_bound: Duration,
}

/// The ttls that a service accepts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlBounds {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl TtlBounds {
    /// Refuses a ttl out of bounds.
    ///
    /// # Errors
    /// `InvalidInput`, naming the bounds.
    pub fn check(&self, ttl: Duration, scheme: &str) -> Result<Duration> {
        if (self.min..=self.max).contains(&ttl) {
            return Ok(ttl);
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the {scheme} backend takes a ttl from {:?} to {:?}: asked for {ttl:?}", self.min, self.max),
        ))
    }

    /// The nearest ttl within bounds.
    #[must_use]
    pub fn clamp(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.min, self.max)
    }
}

/// One thing that backends may or may not offer.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Exclusive claims.
    Exclusive,
    /// Shared claims beside exclusive ones.
    Shared,
    /// Permits.
    Permits,
    /// An exclusive claim can become shared without a gap.
    Downgrade,
    /// Claims are granted in arrival order.
    Fifo,
    /// Grants are pushed; waiting needs no polling.
    Push,
    /// The loss of a claim that somebody deleted is pushed.
    PushLoss,
    /// A claim's life is its process's: it has no ttl, and a stopped process keeps it.
    ProcessLife,
    /// A grant tells whether the holder before released or vanished.
    PredecessorFate,
    /// Claims can be listed by prefix.
    List,
    /// Claims of others can be broken.
    Break,
    /// Claims exclude other processes, not only this one.
    CrossProcess,
    /// Tokens go on growing, or change their epoch, when the server is restarted.
    TokensSurviveRestart,
}

/// A set of [`Capability`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Exactly these.
    #[must_use]
    pub fn of(list: &[Capability]) -> Self {
        Self(list.iter().fold(0, |bits, one| bits | 1 << *one as u32))
    }

    /// Whether `one` is offered.
    #[must_use]
    pub fn has(&self, one: Capability) -> bool {
        self.0 & 1 << one as u32 != 0
    }

    /// All that is offered.
    pub fn iter(&self) -> impl Iterator<Item = Capability> {
        let set = *self;
        Capability::ALL.into_iter().filter(move |one| set.has(*one))
    }

    /// The same set without `one`.
    #[must_use]
    pub fn without(self, one: Capability) -> Self {
        Self(self.0 & !(1 << one as u32))
    }
}

impl Capability {
    /// All there are.
    pub const ALL: [Self; 13] = [
        Self::Exclusive,
        Self::Shared,
        Self::Permits,
        Self::Downgrade,
        Self::Fifo,
        Self::Push,
        Self::PushLoss,
        Self::ProcessLife,
        Self::PredecessorFate,
        Self::List,
        Self::Break,
        Self::CrossProcess,
        Self::TokensSurviveRestart,
    ];

    /// What a claim in `mode` needs.
    #[must_use]
    pub fn for_mode(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Exclusive,
            Mode::Shared => Self::Shared,
            Mode::Permit { .. } => Self::Permits,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive locks",
            Self::Shared => "shared locks",
            Self::Permits => "permits",
            Self::Downgrade => "downgrading",
            Self::Fifo => "first come, first served",
            Self::Push => "pushed grants",
            Self::PushLoss => "pushed losses",
            Self::ProcessLife => "claims that live by their process",
            Self::PredecessorFate => "the fate of the holder before",
            Self::List => "listing",
            Self::Break => "breaking",
            Self::CrossProcess => "exclusion between processes",
            Self::TokensSurviveRestart => "tokens that survive a restart",
        })
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
