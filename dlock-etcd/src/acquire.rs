//! Placing a claim: one transaction that puts its key, or finds out why not.

use dlock_core::{Claim, Error, ErrorKind, Landed, Mode, Queue, Result};
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp};
use tokio::time::Instant as Deadline;

use crate::error::Effect;
use crate::keys::{NameKeys, Seat, Section, Span};
use crate::position::{Position, behind, in_line, is_intact, newest, range};
use crate::rpc::{Answer, Rpc};

/// What became of a claim that was to be placed.
#[derive(Debug)]
pub(crate) enum Placed {
    /// Its key was put.
    New { created: i64, cluster: u64, position: Position },
    /// Its key was there: an earlier request had landed.
    Found { created: i64 },
    /// Others are before it, and nothing was written.
    Refused,
}

/// Places the claim in `seat`, on `lease`.
///
/// The transaction writes only when no claim of another family stands under the name, and with
/// [`Queue::No`] only when the claim is held at once: etcd compares whole ranges (3.3 and newer).
pub(crate) async fn place(
    rpc: &Rpc,
    keys: &NameKeys,
    claim: &Claim,
    (seat, lease): (Seat, i64),
    queue: Queue,
    until: Deadline,
) -> Result<Placed> {
    let attempt = Attempt { keys, claim, section: Section::Plain(claim.mode), seat, lease };
    // Permits that are tried: the newest claim that was counted. Nothing newer may stand there.
    let mut counted = 0;
    loop {
        let answer = rpc.txn(until, Effect::Write, attempt.transaction(queue, counted)).await?;
        if answer.succeeded {
            let position =
                attempt.position_when_put(queue, &answer).map_err(|error| error.with_landed(Landed::Maybe))?;
            return Ok(Placed::New { created: answer.revision, cluster: answer.cluster, position });
        }
        if let Some(own) = answer.range(0)?.kvs().first() {
            return attempt.found(own);
        }
        for index in 1..=2 {
            if let Some(stranger) = answer.range(index)?.kvs().first() {
                return Err(attempt.refusal(stranger));
            }
        }
        if let Some(elder) = answer.range(3)?.kvs().first()
            && !is_intact(keys, elder)
        {
            return Err(damaged(keys, elder));
        }
        let Mode::Permit { limit } = claim.mode else { return Ok(Placed::Refused) };
        let standing = usize::try_from(answer.range(3)?.count()).unwrap_or(usize::MAX);
        if in_line(limit.get(), standing) != Position::Held {
            return Ok(Placed::Refused);
        }
        // There is room, unless somebody comes first: then somebody else got in, and we count again.
        counted = answer.revision;
    }
}

/// The transaction that takes a name if nobody claims it, and otherwise finds out nothing: half of the
/// work of [`place`] for the server.
pub(crate) fn taking(keys: &NameKeys, mode: Mode, record: String, (seat, lease): (Seat, i64)) -> Txn {
    let key = keys.claim(Section::Plain(mode), seat);
    let put = TxnOp::put(key, record, Some(PutOptions::new().with_lease(lease)));
    Txn::new().when([none_since(0, &keys.all())]).and_then([put])
}

struct Attempt<'a> {
    keys: &'a NameKeys,
    claim: &'a Claim,
    section: Section,
    seat: Seat,
    lease: i64,
}

impl Attempt<'_> {
    fn transaction(&self, queue: Queue, counted: i64) -> Txn {
        let key = self.keys.claim(self.section, self.seat);
        let [before, after] = self.keys.strangers(self.claim.mode);
        let mut conditions = vec![
            Compare::create_revision(key.clone(), CompareOp::Equal, 0),
            none_since(0, &before),
            none_since(0, &after),
        ];
        if queue == Queue::No {
            conditions.push(none_since(counted, &self.blockers()));
        }
        let put = TxnOp::put(key.clone(), self.claim.to_record(), Some(PutOptions::new().with_lease(self.lease)));
        let any = |span: Span| range(span, GetOptions::new().with_keys_only().with_limit(1));
        Txn::new().when(conditions).and_then([put, self.elders_when_put()]).or_else([
            TxnOp::get(key, None),
            any(before),
            any(after),
            range(self.blockers(), newest(1)),
        ])
    }

    /// The claims that could be in the way of this one.
    fn blockers(&self) -> Span {
        match self.claim.mode {
            Mode::Shared => self.keys.section(Section::Plain(Mode::Exclusive)),
            mode => self.keys.family(mode),
        }
    }

    /// When the key has just been put, all other keys are older: no revision is needed to ask for
    /// them, and the count of a range is exact.
    fn elders_when_put(&self) -> TxnOp {
        match self.claim.mode {
            Mode::Exclusive => range(self.blockers(), newest(2)),
            Mode::Shared => range(self.blockers(), newest(1)),
            Mode::Permit { .. } => range(self.blockers(), GetOptions::new().with_count_only()),
        }
    }

    fn position_when_put(&self, queue: Queue, answer: &Answer) -> Result<Position> {
        if queue == Queue::No {
            return Ok(Position::Held);
        }
        let elders = answer.range(1)?;
        Ok(match self.claim.mode {
            Mode::Permit { limit } => in_line(limit.get(), usize::try_from(elders.count() - 1).unwrap_or_default()),
            _ => {
                let own = self.keys.claim(self.section, self.seat);
                let nearest = elders.kvs().iter().find(|elder| elder.key() != own);
                nearest.map_or(Position::Held, |elder| behind(self.keys, elder))
            }
        })
    }

    /// An earlier request of this claim had landed.
    fn found(&self, own: &KeyValue) -> Result<Placed> {
        if !is_intact(self.keys, own) {
            return Err(damaged(self.keys, own));
        }
        if Claim::from_record(own.value()).is_ok_and(|claim| claim.id != self.claim.id) {
            let message = "another claim sits where this one was to be put: repeat the request";
            return Err(Error::new(ErrorKind::Unavailable, message).with_landed(Landed::No));
        }
        if own.lease() != self.lease {
            let message = "an earlier request of the claim stands on a lease that is ending: repeat it, or withdraw it";
            return Err(Error::new(ErrorKind::Unavailable, message).with_landed(Landed::Maybe));
        }
        Ok(Placed::Found { created: own.create_revision() })
    }

    fn refusal(&self, stranger: &KeyValue) -> Error {
        match self.keys.parse(stranger.key()) {
            Some((section, _)) if is_intact(self.keys, stranger) => Error::new(
                ErrorKind::Mismatch,
                format!(
                    "{:?} is in use as {}, which cannot be combined with {}: use another name",
                    self.claim.name,
                    section.mode(),
                    self.claim.mode
                ),
            ),
            _ => damaged(self.keys, stranger),
        }
    }
}

/// True when no key of the range was created after `revision`; with 0, when there is none at all.
fn none_since(revision: i64, span: &Span) -> Compare {
    Compare::create_revision(span.from.clone(), CompareOp::Less, revision + 1).with_range(span.end.clone())
}

pub(crate) fn damaged(keys: &NameKeys, entry: &KeyValue) -> Error {
    blocked(keys, entry.key())
}

/// The error for a name that is blocked by the entry at `key`.
pub(crate) fn blocked(keys: &NameKeys, key: &[u8]) -> Error {
    let problem = if keys.parse(key).is_none() { "is no claim" } else { "was overwritten by somebody else" };
    Error::new(
        ErrorKind::Damaged,
        format!("the key {:?} {problem} and blocks its name: inspect it, and remove it", String::from_utf8_lossy(key)),
    )
}
