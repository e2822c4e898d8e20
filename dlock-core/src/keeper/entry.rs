use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::Answer;
use crate::client::{Settings, Start};
use crate::lease::{Cell, LeaseState};
use crate::slot::{Attempt, Slot};
use crate::{Claim, Grant, Instant, Life, Queue, Ttl, Why, Withdrawn};

/// Where a claim stands, as the keeper sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its request is under way, or waits to be repeated.
    Requesting,
    /// It stands in line.
    Queued,
    /// It was granted, and is being renewed before it is handed over.
    Confirming,
    /// Its owner holds it.
    Held,
    /// It is lost locally and no longer renewed; a guard still counts on it until this time.
    Retired(Instant),
    /// It is being withdrawn.
    Ending(Why),
}

impl Phase {
    /// Whether the service is to be kept from dropping the claim.
    pub(crate) fn is_renewed(self) -> bool {
        matches!(self, Self::Queued | Self::Confirming | Self::Held)
    }
}

/// One claim in the keeper's care.
pub(crate) struct Entry {
    pub(crate) claim: Claim,
    pub(crate) queue: Queue,
    pub(crate) slot: Arc<Slot>,
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) cell: Option<Arc<Cell>>,
    pub(crate) phase: Phase,
    pub(crate) life: Option<Life>,
    pub(crate) grant: Option<Grant>,
    /// A request that changes the claim is under way: nothing else may be sent about it but a
    /// renewal.
    pub(crate) busy: bool,
    /// Where it stands in line to be requested or withdrawn, when too many others are.
    pub(crate) place: Option<u64>,
    /// When the last renewal was sent that is not answered yet.
    pub(crate) renewing_since: Option<Instant>,
    /// Something may have been missed since the renewal that is under way was sent.
    pub(crate) suspect: bool,
    /// A request about it had no known outcome.
    pub(crate) in_doubt: bool,
    /// When a caller's own request was given up, which may still arrive: on a connection of its own, it is
    /// not overtaken by what is sent later.
    pub(crate) strayed_at: Option<Instant>,
    pub(crate) next_renewal: Instant,
    /// When a request or a withdrawal is repeated, or has waited for its turn in vain.
    pub(crate) repeat_at: Instant,
    pub(crate) backoff: ExponentialBackoff,
    /// When the present effort (to register, or to withdraw) began.
    pub(crate) since: Instant,
    /// The last moment at which the service may have been told to keep the claim.
    pub(crate) last_touched: Instant,
    /// Until when a grant may wait for somebody to collect it.
    pub(crate) collect_by: Option<Instant>,
    pub(crate) hold_until: Option<Instant>,
    /// How often this attempt had to start over.
    pub(crate) restarts: u32,
    pub(crate) releases: Vec<Answer<Withdrawn>>,
    pub(crate) span: tracing::Span,
    /// When its next turn is scheduled.
    pub(crate) due: Option<Instant>,
}

impl Entry {
    pub(crate) fn new(start: Start, now: Instant) -> Self {
        let Start { claim, queue, slot, attempt } = start;
        let span = tracing::debug_span!("claim", name = %claim.name, mode = %claim.mode, id = %claim.id);
        Self {
            backoff: backoff(claim.ttl),
            claim,
            queue,
            slot,
            attempt,
            cell: None,
            phase: Phase::Requesting,
            life: None,
            grant: None,
            busy: false,
            place: None,
            renewing_since: None,
            suspect: false,
            in_doubt: false,
            strayed_at: None,
            next_renewal: now,
            repeat_at: now,
            since: now,
            last_touched: now,
            collect_by: None,
            hold_until: None,
            restarts: 0,
            releases: Vec::new(),
            span,
            due: None,
        }
    }

    /// When something has to be done about it without being told; `None` while it waits for an
    /// answer.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        match self.phase {
            Phase::Requesting | Phase::Ending(_) => (!self.busy).then_some(self.repeat_at),
            Phase::Retired(until) => Some(until),
            Phase::Queued | Phase::Confirming | Phase::Held => {
                let deadline = self.life.and_then(|life| life.valid_until());
                [Some(self.renew_at()), deadline, self.collect_by, self.hold_until].into_iter().flatten().min()
            }
        }
    }

    /// When it is to be renewed. A renewal that hangs does not keep the next one waiting until it
    /// is too late.
    pub(crate) fn renew_at(&self) -> Instant {
        match self.renewing_since {
            Some(sent_at) => self.next_renewal.max(sent_at + self.granted_ttl() / 6),
            None => self.next_renewal,
        }
    }

    pub(crate) fn has_lapsed(&self, now: Instant) -> bool {
        self.life.and_then(|life| life.valid_until()).is_some_and(|until| until <= now)
    }

    /// Takes over a life that was reported, unless a newer one is known, and plans its renewal.
    pub(crate) fn live(&mut self, life: Life, now: Instant) {
        if self.life.is_none_or(|known| known.sent_at <= life.sent_at) {
            self.life = Some(life);
        }
        let ttl = self.granted_ttl();
        // A life that did not advance is not asked for again at once.
        let planned = (self.life_sent_at(now) + ttl / 3).max(now + ttl / 20);
        self.next_renewal = if self.suspect { now } else { planned };
        self.backoff = backoff(self.claim.ttl);
    }

    /// The ttl that the service granted, or the one asked for where it has none.
    pub(crate) fn granted_ttl(&self) -> Duration {
        match self.life.map(|life| life.ttl) {
            Some(Ttl::For(ttl)) => ttl,
            Some(Ttl::Process) | None => self.claim.ttl,
        }
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.state() == LeaseState::Doubtful)
    }

    /// After this the service has surely dropped the claim; `None` where it never does by itself.
    pub(crate) fn lapses_at(&self, grace: Duration) -> Option<Instant> {
        match self.life.map(|life| life.ttl) {
            Some(Ttl::Process) => None,
            _ => Some(self.last_touched + self.granted_ttl() + grace),
        }
    }

    pub(crate) fn gives_up_at(&self, settings: &Settings) -> Instant {
        self.since + settings.retry_for
    }

    /// When one that waits in line looks whether the service answers at all: when the present
    /// effort is over.
    pub(crate) fn looks_at(&self, settings: &Settings, now: Instant) -> Instant {
        self.gives_up_at(settings).max(now + LONGEST_PAUSE)
    }

    /// Plans a repetition of what has just failed.
    pub(crate) fn repeat_later(&mut self, now: Instant) {
        self.repeat_at = now + self.pause();
    }

    pub(crate) fn pause(&mut self) -> Duration {
        self.backoff.next().unwrap_or(LONGEST_PAUSE)
    }

    /// A process's life is never sent again, so its renewals, which only re-check, count from now.
    fn life_sent_at(&self, now: Instant) -> Instant {
        match self.life {
            Some(Life { sent_at, ttl: Ttl::For(_) }) => sent_at,
            _ => now,
        }
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pauses between repetitions: short against the ttl, so that many fit into it.
pub(crate) fn backoff(ttl: Duration) -> ExponentialBackoff {
    let longest = (ttl / 10).clamp(Duration::from_millis(5), LONGEST_PAUSE);
    ExponentialBuilder::default()
        .with_min_delay(longest.min(Duration::from_millis(20)))
        .with_max_delay(longest)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}
