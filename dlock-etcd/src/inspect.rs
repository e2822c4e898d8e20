//! What people ask: who holds and who waits, which names are in use, what is damaged.

use std::time::Duration;

use dlock_core::{
    Admission, Claim, ClaimInfo, ClaimRef, DamagedEntry, Error, ErrorKind, LockName, LockState, Mode, NamePage,
    NamePrefix, Page, Result, Withdrawn,
};
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use serde::Deserialize;

use crate::error::Effect;
use crate::keys::{Keys, NameKeys, Section};
use crate::rpc::{Rpc, token};
use tokio::time::Instant as Deadline;

/// Entries for each request, some 500 bytes each.
const BATCH: i64 = 1000;

/// Everything under a name, as of one revision.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) found: Vec<KeyValue>,
    cluster: u64,
}

/// Reads it.
pub(crate) async fn entries(rpc: &Rpc, under: &NameKeys, until: Deadline) -> Result<Entries> {
    let mut span = under.all();
    let mut entries = Entries::default();
    let mut revision = 0;
    loop {
        let options = GetOptions::new().with_range(span.end.clone()).with_limit(BATCH).with_revision(revision);
        let mut answer = rpc.get(until, &span.from, options).await?;
        if let Some(header) = answer.header() {
            entries.cluster = header.cluster_id();
            revision = if revision == 0 { header.revision() } else { revision };
        }
        let more = answer.more();
        entries.found.append(&mut answer.take_kvs());
        match entries.found.last() {
            Some(last) if more => span.from = after(last.key()),
            _ => return Ok(entries),
        }
    }
}

/// Who holds the name and who waits for it.
pub(crate) async fn inspect(rpc: &Rpc, keys: &Keys, name: &LockName) -> Result<LockState> {
    let under = keys.name(name);
    let Entries { found, cluster } = entries(rpc, &under, rpc.deadline()).await?;
    let mut state = LockState::free(name.clone());
    let mut entries = Vec::new();
    for entry in &found {
        match Entry::read(&under, entry) {
            Ok(entry) => entries.push(entry),
            Err(problem) => state.damaged.push(damaged(entry, problem)),
        }
    }
    let mut expiry = Expiry::default();
    entries.sort_by_key(|entry| (entry.section != Section::Downgraded, entry.order));
    let mut before = Before::default();
    for entry in entries {
        let mode = entry.section.mode();
        let held = mode.admission(before.modes.iter().copied()) == Admission::Held;
        before.add(mode);
        let info = ClaimInfo {
            claim: ClaimRef { id: entry.claim.id, name: name.clone(), mode, ttl: entry.claim.ttl },
            metadata: entry.claim.metadata,
            token: held.then(|| token(cluster, entry.order)),
            expires_in: if held { expiry.of(rpc, entry.lease).await } else { None },
        };
        if held { state.holders.push(info) } else { state.waiters.push(info) }
    }
    Ok(state)
}

/// Names in key order. A batch of keys may belong to few names: pages can be short.
pub(crate) async fn list(rpc: &Rpc, keys: &Keys, prefix: &NamePrefix, page: &Page) -> Result<NamePage> {
    let mut span = keys.below(prefix);
    if let Some(cursor) = &page.cursor {
        let from = from_hex(cursor).filter(|key| span.contains(key)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "the cursor is not one of this listing: start it again")
        })?;
        span.from = from;
    }
    let limit = i64::try_from(page.limit).unwrap_or(BATCH).clamp(1, BATCH);
    let options = GetOptions::new().with_range(span.end.clone()).with_limit(limit).with_keys_only();
    let answer = rpc.get(rpc.deadline(), &span.from, options).await?;
    let mut names: Vec<LockName> = answer.kvs().iter().filter_map(|entry| keys.name_of(entry.key())).collect();
    names.dedup();
    let last = answer.kvs().last().filter(|_| answer.more());
    let next = last.map(|last| match keys.name_of(last.key()) {
        // Past all other claims of the last name.
        Some(name) => keys.name(&name).all().end,
        None => after(last.key()),
    });
    Ok(NamePage { names, cursor: next.filter(|next| span.contains(next)).map(|next| to_hex(&next)) })
}

/// Removes an entry if nobody has changed it since it was reported.
pub(crate) async fn clear_damage(rpc: &Rpc, keys: &Keys, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
    let parsed = entry.fingerprint.split_once('@').and_then(|(revision, key)| {
        let key = from_hex(key).filter(|key| keys.name(name).all().contains(key))?;
        Some((revision.parse::<i64>().ok().filter(|revision| *revision > 0)?, key))
    });
    let (revision, key) = parsed.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("{:?} is not damage that was seen under {name:?}", entry.key))
    })?;
    let txn = Txn::new()
        .when([Compare::mod_revision(key.clone(), CompareOp::Equal, revision)])
        .and_then([TxnOp::delete(key, None)]);
    let answer = rpc.txn(rpc.deadline(), Effect::Write, txn).await?;
    Ok(if answer.succeeded { Withdrawn::Removed } else { Withdrawn::Absent })
}

struct Entry {
    section: Section,
    order: i64,
    lease: i64,
    claim: Claim,
}

impl Entry {
    fn read(under: &NameKeys, entry: &KeyValue) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Order {
            token: i64,
        }
        let (section, _) = under.parse(entry.key()).ok_or("the key is not that of a claim")?;
        let claim = Claim::from_record(entry.value()).map_err(|error| error.to_string())?;
        if entry.lease() == 0 {
            return Err("it is on no lease: somebody else wrote it, and it would stay for ever".into());
        }
        if entry.version() != 1 {
            return Err("somebody else wrote it again".into());
        }
        let order = match section {
            Section::Plain(_) => entry.create_revision(),
            Section::Downgraded => {
                serde_json::from_slice::<Order>(entry.value()).map_err(|_| "the token is missing")?.token
            }
        };
        Ok(Self { section, order, lease: entry.lease(), claim })
    }
}

/// The modes of the claims before one, as far as they can still make a difference.
#[derive(Default)]
struct Before {
    modes: Vec<Mode>,
}

impl Before {
    fn add(&mut self, mode: Mode) {
        let enough = match mode {
            Mode::Exclusive | Mode::Shared => 1,
            Mode::Permit { limit } => usize::try_from(limit.get()).unwrap_or(usize::MAX),
        };
        if self.modes.iter().filter(|other| **other == mode).take(enough).count() < enough {
            self.modes.push(mode);
        }
    }
}

/// How long the leases of holders have to live; asked once for each lease, and only for a few.
#[derive(Default)]
struct Expiry {
    known: Vec<(i64, Option<Duration>)>,
}

impl Expiry {
    const MOST: usize = 8;

    async fn of(&mut self, rpc: &Rpc, lease: i64) -> Option<Duration> {
        if let Some((_, left)) = self.known.iter().find(|(id, _)| *id == lease) {
            return *left;
        }
        if self.known.len() >= Self::MOST {
            return None;
        }
        let answer = rpc
            .call(rpc.deadline(), Effect::Read, |client| async move {
                client.lease_client().time_to_live(lease, None).await
            })
            .await;
        let left = answer.ok().and_then(|answer| u64::try_from(answer.ttl()).ok()).map(Duration::from_secs);
        self.known.push((lease, left));
        left
    }
}

fn damaged(entry: &KeyValue, problem: String) -> DamagedEntry {
    DamagedEntry {
        key: String::from_utf8_lossy(entry.key()).into_owned(),
        problem,
        fingerprint: format!("{}@{}", entry.mod_revision(), to_hex(entry.key())),
    }
}

fn after(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_round_trips() {
        for bytes in [&b""[..], b"\0\xff/a", b"dlock/a//rw/x/"] {
            assert_eq!(from_hex(&to_hex(bytes)).as_deref(), Some(bytes));
        }
        for bad in ["f", "zz", "ä"] {
            assert_eq!(from_hex(bad), None);
        }
    }

    #[test]
    fn only_what_makes_a_difference_is_remembered() {
        let permit = Mode::Permit { limit: 2.try_into().unwrap() };
        let mut before = Before::default();
        for mode in [Mode::Shared, Mode::Shared, Mode::Exclusive, permit, permit, permit] {
            before.add(mode);
        }
        assert_eq!(before.modes, [Mode::Shared, Mode::Exclusive, permit, permit]);
    }
}
