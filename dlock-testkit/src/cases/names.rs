//! Which names there are and how they are kept apart; what is stored of a claim, and what is left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dlock_core::{Capability, ErrorKind, Guard, LockName, Locks, Metadata, NamePrefix, Namespace, Page};
use futures::StreamExt;
use futures::stream;

use crate::broken::naming::{
    ModeIgnored, NamespacesShared, case_ignored, cut_at_255_bytes, hierarchy_ignored, odd_characters_replaced,
};
use crate::broken::storing::{LeavesTombstones, MetadataDropped};
use crate::{Case, Lab, Need};

const GROUP: &str = "names";

pub(super) const CASES: &[Case] = &[
    case!([69] names_of_all_lengths_are_told_apart_and_others_refused, needs [], trips on cut_at_255_bytes()),
    case!([70] case_matters, needs [], trips on case_ignored()),
    case!([71] odd_names_are_each_their_own_and_bad_ones_refused, needs [], trips on odd_characters_replaced()),
    case!([72] a_name_never_contends_with_one_below_or_beside_it, needs [], trips on hierarchy_ignored()),
    case!([72] a_prefix_lists_whole_parts_of_names, needs [Need::Capability(Capability::List)],
        trips on hierarchy_ignored()),
    case!([73] namespaces_are_isolated, needs [], trips on NamespacesShared::default()),
    case!([74] one_name_used_in_two_ways_is_a_clear_error, needs [
        Need::Capability(Capability::Exclusive), Need::Capability(Capability::Permits)], trips on ModeIgnored),
    case!([75] ten_thousand_names_later_nothing_is_left, needs [Need::Tamper], trips on LeavesTombstones),
    case!([76] who_holds_a_lock_can_be_read_in_any_script, needs [], trips on MetadataDropped),
];

async fn names_of_all_lengths_are_told_apart_and_others_refused(lab: Arc<Lab>) {
    let locks = lab.client().await;
    let longest = LockName::MAX_BYTES;
    let mut names: Vec<String> = [1, 2, 63, 64, 127, 128, 200, 254, 255, 256, 257, 511, longest]
        .into_iter()
        .map(|length| "n".repeat(length))
        .collect();
    // As long as can be, and different only at the end; made of one part, of many, of wide letters.
    names.push(format!("{}m", "n".repeat(longest - 1)));
    names.push(format!("{}n", "n/".repeat(longest / 2 - 1)));
    names.push(format!("{}m", "n/".repeat(longest / 2 - 1)));
    names.push("🦀".repeat(longest / 4));
    names.push("ä".repeat(longest / 2));
    hold_all_at_once(&lab, &locks, &names).await;
    for name in [String::new(), "n".repeat(longest + 1), "ä".repeat(longest / 2 + 1), "n".repeat(1 << 20)] {
        let error = locks.lock(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().len() < 300, "a huge name is not repeated in full: {error}");
    }
}

async fn case_matters(lab: Arc<Lab>) {
    hold_all_at_once(&lab, &lab.lasting_client().await, &["job", "Job", "JOB", "jOb", "straße", "STRASSE", "ǆ", "ǅ"])
        .await;
}

async fn odd_names_are_each_their_own_and_bad_ones_refused(lab: Arc<Lab>) {
    let locks = lab.lasting_client().await;
    let odd = [
        "a",
        ".",
        "..",
        "...",
        "./a",
        "../a",
        "a/..",
        "a/../b",
        "a/./b",
        "-",
        "_",
        "~",
        "~a",
        "a~",
        " ",
        "  ",
        "a ",
        " a",
        "a b",
        "%",
        "%2F",
        "a%2Fb",
        "%25",
        "%00",
        "a%",
        "*",
        "a*",
        "?",
        "[a]",
        "[",
        "{a}",
        "{",
        "}",
        "a{b}c",
        ":",
        "a:b",
        "::",
        "a::b",
        "\\",
        "a\\b",
        "\"",
        "'",
        "`",
        "$HOME",
        "$(a)",
        "|",
        "&",
        ";",
        "<",
        ">",
        "#",
        "a#b",
        "@",
        "=",
        "+",
        ",",
        "!",
        "^",
        "(",
        ")",
        "con",
        "nul",
        "NUL",
        "aux.txt",
        "control",
        "epoch",
        "lock",
        "token",
        "tokens",
        "counter",
        "queue",
        "keys",
        "zookeeper",
        "_c_",
        "lock-0000000001",
        "null",
        "0",
        "-1",
        "ü",
        "u\u{308}",
        "ü/ü",
        "日本語",
        "🦀",
        "👩\u{200d}👩",
        "\u{200b}",
        "\u{202e}abc",
        "\u{feff}",
        "\u{fffd}",
        "\u{10ffff}",
        "\u{a0}",
        "\u{2028}",
    ];
    hold_all_at_once(&lab, &locks, &odd).await;
    for bad in ["\0", "a\0b", "a\nb", "a\rb", "\t", "\u{1b}[31m", "\u{7f}", "\u{85}", "/", "/a", "a/", "a//b", "//"] {
        let error = locks.lock(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
        assert!(!error.to_string().contains(char::is_control), "what is shown is printable: {error:?}");
    }
}

async fn a_name_never_contends_with_one_below_or_beside_it(lab: Arc<Lab>) {
    let names = ["a", "a/b", "ab", "a/b/c", "a/bc", "b", "b/a", "a-b", "a.b", "a0", "a/0", "a/~", "a!"];
    hold_all_at_once(&lab, &lab.lasting_client().await, &names).await;
}

async fn a_prefix_lists_whole_parts_of_names(lab: Arc<Lab>) {
    let locks = lab.lasting_client().await;
    let guards = hold(&locks, &["a", "a/b", "ab", "a/b/c", "a/bc", "b", "a b", "a%", "A/b"]).await;
    for (prefix, expected) in [
        ("a", &["a", "a/b", "a/b/c", "a/bc"][..]),
        ("a/b", &["a/b", "a/b/c"]),
        ("a/b/c", &["a/b/c"]),
        ("ab", &["ab"]),
        ("c", &[]),
    ] {
        let listed = list(&locks, NamePrefix::below(prefix.parse().unwrap()), 2).await;
        assert_eq!(listed, expected.iter().map(|name| (*name).to_owned()).collect(), "below {prefix}");
    }
    drop(guards);
    lab.until_empty().await;
}

async fn namespaces_are_isolated(lab: Arc<Lab>) {
    let mine = lab.namespace().clone();
    let in_namespace =
        async |namespace: Namespace| lab.client_with(|builder| builder.namespace(namespace).ttl(lab.long_ttl())).await;
    let mut clients = Vec::new();
    let shorter = mine.as_str()[..mine.as_str().len() - 8].to_owned();
    for namespace in [mine.to_string(), format!("{mine}-"), format!("{mine}.a"), shorter] {
        clients.push(in_namespace(namespace.parse().unwrap()).await);
    }
    let mut guards = Vec::new();
    for locks in &clients {
        let guard = locks.lock("a").unwrap().try_acquire().await.unwrap();
        guards.push(guard.expect("the name is taken in other namespaces only"));
    }
    for locks in &clients {
        assert_eq!(locks.inspect("a").await.unwrap().holders.len(), 1);
        if locks.info().capabilities.has(Capability::List) {
            assert_eq!(list(locks, NamePrefix::root(), 10).await, BTreeSet::from(["a".to_owned()]));
        }
    }
    guards.remove(0).release().await.unwrap();
    assert!(guards.iter().all(Guard::is_held));
    for locks in &clients[1..] {
        assert!(locks.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    for locks in &clients {
        lab.until("nothing is left", || async { locks.inspect("a").await.unwrap().is_free() }).await;
    }
}

async fn one_name_used_in_two_ways_is_a_clear_error(lab: Arc<Lab>) {
    let (one, two) = (lab.lasting_client().await, lab.lasting_client().await);
    let mutex = one.lock("a").unwrap().acquire().await.unwrap();
    let permit = one.semaphore("s", 2).unwrap().acquire().await.unwrap();
    let misused = [
        two.semaphore("a", 2).unwrap().as_lock().clone(),
        two.semaphore("a", 1).unwrap().as_lock().clone(),
        two.semaphore("s", 3).unwrap().as_lock().clone(),
        two.semaphore("s", 1).unwrap().as_lock().clone(),
        two.lock("s").unwrap(),
    ];
    for lock in misused {
        let within = Duration::from_secs(60);
        for answer in [
            lab.soon("a try is answered", lock.try_acquire()).await.map(|_| ()),
            lab.soon("an acquire is answered", lock.acquire()).await.map(|_| ()),
            lab.soon("a timed acquire is answered", lock.acquire_within(within)).await.map(|_| ()),
        ] {
            let error = answer.expect_err("the name is in use in another way");
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
            assert!(error.to_string().contains(lock.name().as_str()), "the name is named: {error}");
        }
    }
    assert!(mutex.is_held() && permit.is_held());
    let second = two.semaphore("s", 2).unwrap().try_acquire().await.unwrap();
    second.expect("a permit is free").release().await.unwrap();
    for guard in [mutex, permit] {
        guard.release().await.unwrap();
    }
    lab.until_empty().await;
    let other_way = two.semaphore("a", 2).unwrap().acquire().await.unwrap();
    other_way.release().await.unwrap();
    lab.until_empty().await;
}

async fn ten_thousand_names_later_nothing_is_left(lab: Arc<Lab>) {
    let (locks, tamper) = (lab.client().await, lab.tamper());
    let cycle = async |round: usize| {
        let guard = locks.lock(format!("names/{}/{round}", round % 97)).unwrap().acquire().await.unwrap();
        guard.release().await.unwrap();
    };
    cycle(0).await;
    lab.until_empty().await;
    let at_first = tamper.entries(lab.namespace()).await;
    stream::iter(1..10_000).for_each_concurrent(64, cycle).await;
    lab.until_empty().await;
    let at_last = tamper.entries(lab.namespace()).await;
    assert!(at_last <= at_first + 2, "{at_last} entries are stored after 10,000 names, {at_first} after one");
}

async fn who_holds_a_lock_can_be_read_in_any_script(lab: Arc<Lab>) {
    let label = "nächtlicher Bericht „7“ \\ \" \u{0} \n 🦀 夜";
    let named = lab.client_with(|builder| builder.label(label)).await;
    let endless = "ü".repeat(100_000);
    let rambling = lab.client_with(|builder| builder.label(endless)).await;
    let before = SystemTime::now();
    let guard = named.lock("a").unwrap().acquire().await.unwrap();
    let after = SystemTime::now() + Duration::from_millis(1);
    let mut waiting = Box::pin(rambling.lock("a").unwrap());
    let waiting = tokio::spawn(async move { waiting.as_mut().acquire().await });
    lab.until_waiting(&named, "a", 1).await;

    let reader = lab.client().await;
    let state = reader.inspect("a").await.unwrap();
    let (holder, waiter) = (&state.holders[0].metadata, &state.waiters[0].metadata);
    let expected = Metadata::of_this_process(label);
    assert_eq!((&holder.label, &holder.host, holder.process), (&expected.label, &expected.host, std::process::id()));
    assert!(holder.since() + Duration::from_millis(1) >= before && holder.since() <= after, "{holder:?}");
    assert_eq!(waiter.label, "ü".repeat(Metadata::MAX_LABEL_BYTES / 2));

    let owned = named.owner("Prüfer").lock("b").unwrap().acquire().await.unwrap();
    assert_eq!(reader.inspect("b").await.unwrap().holders[0].metadata.label, "Prüfer");
    for guard in [guard, owned] {
        guard.release().await.unwrap();
    }
    lab.soon("the waiter is granted", waiting).await.unwrap().unwrap().release().await.unwrap();
    lab.until_empty().await;
}

/// Holds all names at the same time, and sees each of them held once, by its own name.
async fn hold_all_at_once(lab: &Lab, locks: &Locks, names: &[impl AsRef<str>]) {
    let guards = hold(locks, names).await;
    let rival = lab.client().await;
    for (guard, name) in guards.iter().zip(names) {
        let state = rival.inspect(name.as_ref()).await.unwrap();
        let shown: Vec<_> = state.holders.iter().map(|holder| (holder.claim.name.as_str(), holder.token)).collect();
        assert_eq!(shown, [(name.as_ref(), Some(guard.token().unwrap()))]);
        assert!(rival.lock(name.as_ref()).unwrap().try_acquire().await.unwrap().is_none());
    }
    if locks.info().capabilities.has(Capability::List) {
        let expected = names.iter().map(|name| name.as_ref().to_owned()).collect();
        assert_eq!(list(&rival, NamePrefix::root(), 7).await, expected);
    }
    for guard in guards {
        let name = guard.name().clone();
        guard.release().await.unwrap();
        let next = rival.lock(&name).unwrap().try_acquire().await.unwrap();
        next.expect("a released name is free").release().await.unwrap();
    }
    lab.until_empty().await;
}

async fn hold(locks: &Locks, names: &[impl AsRef<str>]) -> Vec<Guard> {
    let mut guards = Vec::new();
    for name in names {
        let guard = locks.lock(name.as_ref()).unwrap().try_acquire().await.unwrap();
        guards.push(guard.unwrap_or_else(|| panic!("{:?} contends with another name", name.as_ref())));
    }
    guards
}

async fn list(locks: &Locks, prefix: NamePrefix, limit: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut page = Page { cursor: None, limit };
    loop {
        let part = locks.list(prefix.clone(), page).await.unwrap();
        names.extend(part.names.iter().map(LockName::to_string));
        let Some(cursor) = part.cursor else { return names };
        page = Page { cursor: Some(cursor), limit };
    }
}
