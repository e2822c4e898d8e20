//! What can be seen of a lock from outside, and how somebody else's claim is ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dlock_core::{Capability, ErrorKind, Locks, Mode, NamePrefix, Page, Predecessor, Withdrawn};

use crate::broken::losses::{BreaksAsARelease, BreaksWhoeverHolds, Hidden};
use crate::broken::reports::{Anonymous, EverybodyReleased, FirstPageOnly, ListsByText, NewestFirst};
use crate::{Case, Lab, Need};

const GROUP: &str = "introspection";
const FIFO: Need = Need::Capability(Capability::Fifo);
const LIST: Need = Need::Capability(Capability::List);
const BREAK: Need = Need::Capability(Capability::Break);
const FATE: Need = Need::Capability(Capability::PredecessorFate);

pub(super) const CASES: &[Case] = &[
    case!([105] inspect_shows_the_holder_and_the_waiters_in_order, needs [FIFO], trips on NewestFirst),
    case!([105] inspect_tells_who_claims_and_since_when, needs [], trips on Anonymous),
    case!([106] names_are_listed_by_whole_parts_of_a_prefix, needs [LIST], trips on ListsByText),
    case!([106] pages_of_a_listing_miss_no_name, needs [LIST], trips on FirstPageOnly),
    case!([107] a_forced_break_serves_the_next_and_tells_the_holder, needs [BREAK], trips on Hidden::default()),
    case!([107] a_break_ends_the_claim_that_it_names_and_no_other, needs [BREAK], trips on BreaksWhoeverHolds),
    case!([108] a_successor_learns_whether_its_predecessor_vanished, needs [FATE], trips on EverybodyReleased),
    case!([108] a_broken_predecessor_has_vanished, needs [FATE, BREAK], trips on BreaksAsARelease),
];

async fn inspect_shows_the_holder_and_the_waiters_in_order(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.owner("holder").lock("a").unwrap().acquire().await.unwrap();
    let labels = ["first", "second", "third"];
    let mut waiting = Vec::new();
    for (client, label) in [&two, &one, &two].into_iter().zip(labels) {
        waiting.push(lab.line_up(&one, &client.owner(label).lock("a").unwrap()).await);
    }
    for client in [&one, &two] {
        let state = client.inspect("a").await.unwrap();
        assert_eq!(state.name.as_str(), "a");
        assert!(state.damaged.is_empty());
        assert_eq!(state.holders.len(), 1);
        assert_eq!(state.holders[0].metadata.label, "holder");
        assert_eq!(state.holders[0].claim.id, guard.lease().unwrap().claim);
        assert_eq!(state.holders[0].token, Some(guard.token().unwrap()));
        let seen: Vec<&str> = state.waiters.iter().map(|waiter| &*waiter.metadata.label).collect();
        assert_eq!(seen, labels);
        assert!(state.waiters.iter().all(|waiter| waiter.token.is_none() && waiter.claim.mode == Mode::Exclusive));
    }
    guard.release().await.unwrap();
    for waiting in waiting {
        lab.soon("the next in line is served", waiting).await.unwrap().unwrap().release().await.unwrap();
    }
    assert!(one.inspect("a").await.unwrap().is_free());
    lab.until_empty().await;
}

async fn inspect_tells_who_claims_and_since_when(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let before = SystemTime::now();
    let guard = one.owner("nightly report").lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&one, &two.owner("by hand").lock("a").unwrap()).await;
    let state = two.inspect("a").await.unwrap();
    for (shown, label) in [(&state.holders[0], "nightly report"), (&state.waiters[0], "by hand")] {
        assert_eq!(shown.metadata.label, label);
        assert_eq!(shown.metadata.process, std::process::id());
        assert!(!shown.metadata.host.is_empty());
        // The moment is stored in whole milliseconds.
        assert!(shown.metadata.since() + Duration::from_millis(1) >= before);
        assert!(shown.metadata.since() <= SystemTime::now());
        assert_eq!(shown.claim.name.as_str(), "a");
        assert_eq!(shown.claim.ttl, lab.long_ttl());
        assert!(shown.expires_in.is_none_or(|left| left <= lab.long_ttl() + lab.info().grace));
    }
    guard.release().await.unwrap();
    lab.soon("the waiter is served", waiting).await.unwrap().unwrap().release().await.unwrap();
    lab.until_empty().await;
}

async fn names_are_listed_by_whole_parts_of_a_prefix(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let mut guards = Vec::new();
    for name in ["a", "a/b", "a/b/c d", "ab", "a%/b", "A/b", "a b", "b/a"] {
        guards.push(one.lock(name).unwrap().acquire().await.unwrap());
    }
    let waiting = lab.line_up(&one, &two.lock("a/b").unwrap()).await;
    for (prefix, names) in [
        (Some("a"), vec!["a", "a/b", "a/b/c d"]),
        (Some("a/b"), vec!["a/b", "a/b/c d"]),
        (Some("b"), vec!["b/a"]),
        (Some("a/b/c"), vec![]),
        (None, vec!["a", "a/b", "a/b/c d", "ab", "a%/b", "A/b", "a b", "b/a"]),
    ] {
        let prefix = prefix.map_or_else(NamePrefix::root, |name| NamePrefix::below(name.parse().unwrap()));
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        assert_eq!(listed(&two, &prefix, 1000).await, names, "{prefix:?}");
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    lab.soon("the waiter is served", waiting).await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(listed(&one, &NamePrefix::root(), 1000).await, BTreeSet::new());
    lab.until_empty().await;
}

async fn pages_of_a_listing_miss_no_name(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let names: BTreeSet<String> = (0..40).map(|n| format!("jobs/{n}")).collect();
    let mut guards = Vec::new();
    for name in &names {
        guards.push(one.lock(name).unwrap().acquire().await.unwrap());
    }
    let other = one.lock("other").unwrap().acquire().await.unwrap();
    let prefix = NamePrefix::below("jobs".parse().unwrap());
    for limit in [1, 3, 40] {
        assert_eq!(listed(&two, &prefix, limit).await, names, "pages of {limit}");
    }
    other.release().await.unwrap();
    for guard in guards {
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn a_forced_break_serves_the_next_and_tells_the_holder(lab: Arc<Lab>) {
    let (one, two, operator) = (lab.client().await, lab.client().await, lab.client().await);
    let broken = one.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&two, &two.lock("a").unwrap()).await;
    let holder = operator.inspect("a").await.unwrap().holders.remove(0);
    assert_eq!(operator.break_claim(&holder.claim).await.unwrap(), Withdrawn::Removed);
    let next = lab.soon("the next is served", waiting).await.unwrap().unwrap();
    lab.soon("the holder sees its loss", broken.lost()).await;
    assert!(!broken.is_held());
    assert_eq!(broken.release().await.unwrap_err().kind(), ErrorKind::Lost);
    let state = operator.inspect("a").await.unwrap();
    assert_eq!(state.holders.len(), 1);
    assert_eq!(
        state.holders[0].claim.id,
        next.lease().unwrap().claim,
        "the broken guard's release freed its successor"
    );
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_break_ends_the_claim_that_it_names_and_no_other(lab: Arc<Lab>) {
    let (one, two, operator) = (lab.lasting_client().await, lab.lasting_client().await, lab.lasting_client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    let seen = operator.inspect("a").await.unwrap().holders.remove(0);
    let waiting = lab.line_up(&one, &two.lock("a").unwrap()).await;
    guard.release().await.unwrap();
    let next = lab.soon("the next is served", waiting).await.unwrap().unwrap();
    // The operator looked before the release: what it saw is gone, and its successor is spared.
    assert_eq!(operator.break_claim(&seen.claim).await.unwrap(), Withdrawn::Absent);
    let state = operator.inspect("a").await.unwrap();
    assert_eq!(state.holders.len(), 1);
    assert_eq!(state.holders[0].claim.id, next.lease().unwrap().claim);
    next.release().await.unwrap();
    lab.until_empty().await;
}

async fn a_successor_learns_whether_its_predecessor_vanished(lab: Arc<Lab>) {
    let (doomed, one) = (lab.crashable().await, lab.lasting_client().await);
    let lock = one.lock("a").unwrap();
    let lost = doomed.locks.lock("a").unwrap().acquire().await.unwrap();
    let second = lab.line_up(&one, &lock).await;
    let third = lab.line_up(&one, &lock).await;
    doomed.crash();
    let second = lab.soon("the second is served", second).await.unwrap().unwrap();
    assert_eq!(second.predecessor(), Some(Predecessor::Vanished));
    second.release().await.unwrap();
    let third = lab.soon("the third is served", third).await.unwrap().unwrap();
    assert_eq!(third.predecessor(), Some(Predecessor::Released));
    third.release().await.unwrap();
    drop(lost);
    lab.until_empty().await;
}

async fn a_broken_predecessor_has_vanished(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let broken = one.lock("a").unwrap().acquire().await.unwrap();
    let waiting = lab.line_up(&two, &two.lock("a").unwrap()).await;
    let holder = two.inspect("a").await.unwrap().holders.remove(0);
    assert_eq!(two.break_claim(&holder.claim).await.unwrap(), Withdrawn::Removed);
    let next = lab.soon("the next is served", waiting).await.unwrap().unwrap();
    assert_eq!(next.predecessor(), Some(Predecessor::Vanished));
    next.release().await.unwrap();
    drop(broken);
    lab.until_empty().await;
}

/// All names below the prefix, gathered in pages of about this many.
async fn listed(locks: &Locks, prefix: &NamePrefix, limit: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut page = Page { limit, ..Page::first() };
    loop {
        let part = locks.list(prefix.clone(), page).await.unwrap();
        names.extend(part.names.iter().map(ToString::to_string));
        match part.cursor {
            Some(cursor) => page = Page { cursor: Some(cursor), limit },
            None => return names,
        }
    }
}
