//! Where a claim stands: one transaction that reads its key and what is before it.
//!
//! The ranges ask for the nearest older claim only, newest first: with 10,000 waiters a full range
//! passes the 4 MB that gRPC takes by default. etcd filters and sorts ranges by create revision on
//! its side; the `count` of a range is that of all its keys, whatever the filter.

use dlock_core::{Gone, Mode, Result};
use etcd_client::{GetOptions, GetResponse, KeyValue, SortOrder, SortTarget, Txn, TxnOp};
use tokio::time::Instant as Deadline;

use crate::claims::Standing;
use crate::error::Effect;
use crate::keys::{NameKeys, Section, Span};
use crate::rpc::Rpc;

/// What is before a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Nothing that it has to wait for.
    Held,
    /// It waits for the claim at this key to go, which was created then, and has to look again.
    Behind(Vec<u8>, i64),
    /// It is a permit, and this many claims are before it.
    InLine { older: usize },
    /// The same, but that is not an intact claim.
    Blocked(Vec<u8>, i64),
}

/// A claim's key and what is before it, at one revision.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) revision: i64,
    pub(crate) cluster: u64,
    pub(crate) seen: Result<Position, Gone>,
}

/// Whether a claim's key is still as this client put it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) created: i64,
    pub(crate) lease: i64,
}

impl Standing {
    pub(crate) fn expected(&self) -> Expected {
        Expected { created: self.created(), lease: self.lease().id }
    }
}

impl Expected {
    /// A foreign put leaves the create revision, but takes the key off its lease: it would live for
    /// ever, or as long as somebody else wants.
    pub(crate) fn check(self, key: Option<&KeyValue>) -> Result<(), Gone> {
        match key {
            None => Err(Gone::Absent),
            Some(key) if key.create_revision() == self.created && key.lease() == self.lease && key.version() == 1 => {
                Ok(())
            }
            Some(_) => Err(Gone::Altered),
        }
    }
}

/// Reads how the claim stands. Of a permit's elders it counts no more than its limit, unless `all`
/// of them are asked for.
pub(crate) async fn look(rpc: &Rpc, standing: &Standing, all: bool, until: Deadline) -> Result<View> {
    let key = standing.key();
    let mut operations = vec![TxnOp::get(key, Some(GetOptions::new().with_keys_only()))];
    operations.extend(elders(&standing.keys, standing.section(), standing.order, all));
    let answer = rpc.txn(until, Effect::Read, Txn::new().and_then(operations)).await?;
    let seen = match standing.expected().check(answer.range(0)?.kvs().first()) {
        Err(gone) => Err(gone),
        Ok(()) => {
            let mut ranges = Vec::new();
            for index in 1..answer.results.len() {
                ranges.push(answer.range(index)?);
            }
            Ok(place(&standing.keys, standing.section(), &ranges))
        }
    };
    Ok(View { revision: answer.revision, cluster: answer.cluster, seen })
}

/// The ranges that decide about a claim whose place in line is `order`.
fn elders(keys: &NameKeys, section: Section, order: i64, all: bool) -> Vec<TxnOp> {
    let older = |span: Span, limit: i64| range(span, newest(limit).with_max_create_revision(order - 1));
    match section {
        Section::Downgraded => vec![],
        Section::Plain(Mode::Exclusive) => {
            // A downgraded claim has a younger key than those that wait for it; only a holder gets
            // there, so whatever its revision it is older than all who wait.
            let downgraded = keys.section(Section::Downgraded);
            vec![older(keys.queue(), 1), range(downgraded, newest(1))]
        }
        Section::Plain(Mode::Shared) => vec![older(keys.section(Section::Plain(Mode::Exclusive)), 1)],
        Section::Plain(Mode::Permit { limit }) => {
            let limit = if all { 0 } else { i64::from(limit.get()) };
            vec![older(keys.section(section), limit)]
        }
    }
}

/// What the ranges of [`elders`] mean.
fn place(keys: &NameKeys, section: Section, ranges: &[&GetResponse]) -> Position {
    let nearest = |range: &&GetResponse| range.kvs().first().map(|elder| behind(keys, elder));
    match section {
        Section::Plain(Mode::Permit { limit }) => {
            let older = ranges.first().map_or(0, |range| range.kvs().len());
            in_line(limit.get(), older)
        }
        _ => ranges.iter().find_map(nearest).unwrap_or(Position::Held),
    }
}

/// The position of a permit with `older` claims before it.
pub(crate) fn in_line(limit: u32, older: usize) -> Position {
    if u32::try_from(older).is_ok_and(|older| older < limit) { Position::Held } else { Position::InLine { older } }
}

/// The position of a claim that waits for `elder`.
pub(crate) fn behind(keys: &NameKeys, elder: &KeyValue) -> Position {
    let (key, created) = (elder.key().to_vec(), elder.create_revision());
    if is_intact(keys, elder) { Position::Behind(key, created) } else { Position::Blocked(key, created) }
}

/// Whether the entry is a claim as it was put: on a lease, and never overwritten.
pub(crate) fn is_intact(keys: &NameKeys, entry: &KeyValue) -> bool {
    keys.parse(entry.key()).is_some() && entry.lease() != 0 && entry.version() == 1
}

/// Keys only, the newest first.
pub(crate) fn newest(limit: i64) -> GetOptions {
    GetOptions::new().with_keys_only().with_sort(SortTarget::Create, SortOrder::Descend).with_limit(limit)
}

pub(crate) fn range(span: Span, options: GetOptions) -> TxnOp {
    TxnOp::get(span.from, Some(options.with_range(span.end)))
}
