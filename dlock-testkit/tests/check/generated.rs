//! Histories made at random, judged by the checker and by the definition.

use std::collections::BTreeSet;

use dlock_core::Token;
use dlock_testkit::check::{Breach, Report, check};
use dlock_testkit::history::{Event, History, What};
use fastrand::Rng;
use tempfile::TempDir;

use crate::reading::write;
use crate::script::{MS, Script, owner};

/// A hold. Its place in the list is its number.
#[derive(Clone, Debug)]
struct Span {
    name: u64,
    since: u64,
    until: u64,
    token: Token,
    ends: Ends,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Released,
    LostAtOnce,
    NoticedLate,
    Killed,
}

/// Holds of three names, one after the other on each, with tokens that grow.
fn sound(random: &mut Rng, count: usize) -> Vec<Span> {
    let mut free = [10 * MS; 3];
    let mut tokens = [Token { epoch: 0, value: 0 }; 3];
    let spans = (0..count).map(|_| {
        let name = random.usize(..3);
        let since = free[name] + random.u64(..3);
        let until = since + random.u64(1..50);
        free[name] = until;
        let token = &mut tokens[name];
        token.value += random.u64(1..4);
        let ends = [Ends::Released, Ends::LostAtOnce, Ends::NoticedLate, Ends::Killed][random.usize(..4)];
        Span { name: name as u64, since, until, token: *token, ends }
    });
    spans.collect()
}

/// The history in which these holds happened, each in a process of its own, and all is well otherwise.
fn events(spans: &[Span], random: &mut Rng) -> Vec<Event> {
    let mut events = Script::complete().events();
    for (op, &Span { name, since, until, token, ends }) in spans.iter().enumerate() {
        let process = format!("p{op}");
        let op = op as u64;
        let mut add = |at, process: &str, what| events.push(Event { at, process: process.to_owned(), what });
        add(since - 1, &process, What::Invoke { op, owner: owner(&process), name: format!("n{name}") });
        let late = until + random.u64(..100);
        let granted = |until| What::Ok { op, token: Some(token), until };
        match ends {
            Ends::Released => {
                add(since, &process, granted(None));
                add(until, &process, What::Release { op, until: None });
                add(until, &process, What::Released { op, error: None });
            }
            Ends::LostAtOnce => {
                add(since, &process, granted(Some(until + 30)));
                add(until, &process, What::Lost { op, until, why: "pushed".to_owned() });
            }
            Ends::NoticedLate => {
                add(since, &process, granted(Some(since + 1)));
                add(since, &process, What::Renewed { op, until });
                add(late, &process, What::Release { op, until: Some(until) });
                add(late, &process, What::Released { op, error: None });
            }
            Ends::Killed => {
                add(since, &process, granted(Some(until)));
                add(late, "lab", What::Gone { who: process.clone() });
            }
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

fn judge(spans: &[Span], random: &mut Rng) -> Report {
    check(&History::of(events(spans, random)).expect("events that go together"))
}

/// The violations of a kind, by the numbers of the holds in them.
fn pairs(report: &Report, breach: Breach) -> BTreeSet<(u64, u64)> {
    let violations: Vec<_> = report.violations.iter().filter(|violation| violation.breach == breach).collect();
    let pairs: BTreeSet<_> = violations.iter().map(|it| (it.ops[0].op, it.ops[1].op)).collect();
    assert_eq!(pairs.len(), violations.len(), "a pair is reported once");
    pairs
}

/// By definition: all pairs of holds of one name, the one that began earlier first, which are related
/// so.
fn related(spans: &[Span], are: impl Fn(&Span, &Span) -> bool) -> BTreeSet<(u64, u64)> {
    let mut pairs = BTreeSet::new();
    for (i, one) in spans.iter().enumerate() {
        for (j, other) in spans.iter().enumerate() {
            if one.name == other.name && (one.since, i) < (other.since, j) && are(one, other) {
                pairs.insert((i as u64, j as u64));
            }
        }
    }
    pairs
}

fn overlap(one: &Span, other: &Span) -> bool {
    one.since.max(other.since) < one.until.min(other.until)
}

/// By definition: holds of one name that began one right after the other, in different epochs.
fn changes_of_epoch(spans: &[Span]) -> BTreeSet<(u64, u64)> {
    let mut changes = BTreeSet::new();
    for name in 0..3 {
        let mut order: Vec<usize> = (0..spans.len()).filter(|i| spans[*i].name == name).collect();
        order.sort_by_key(|i| spans[*i].since);
        let pairs = order.windows(2).filter(|pair| spans[pair[0]].token.epoch != spans[pair[1]].token.epoch);
        changes.extend(pairs.map(|pair| (pair[0] as u64, pair[1] as u64)));
    }
    changes
}

fn second(pairs: BTreeSet<(u64, u64)>) -> BTreeSet<u64> {
    pairs.into_iter().map(|(_, second)| second).collect()
}

#[test]
fn a_sound_history_is_judged_sound() {
    for seed in 0..200 {
        let random = &mut Rng::with_seed(seed);
        let spans = sound(random, 60);
        let report = judge(&spans, random);
        assert!(report.is_sound(), "seed {seed}: {report}");
        assert_eq!(report.totals.acquisitions, 61, "seed {seed}");
    }
}

#[test]
fn any_history_is_judged_as_the_definition_says() {
    let mut found = [0; 4];
    for seed in 0..300 {
        let random = &mut Rng::with_seed(seed);
        let mut spans = sound(random, 40);
        for _ in 0..random.usize(1..6) {
            let span = random.choice(&mut spans).unwrap();
            match random.u8(..4) {
                0 => span.until += random.u64(..60),
                1 => {
                    let earlier = random.u64(..60);
                    span.since -= earlier;
                    span.until -= random.u64(..=earlier);
                }
                2 => span.token.epoch += random.u64(1..3),
                _ => span.token.value = span.token.value.saturating_sub(random.u64(..8)),
            }
        }
        let report = judge(&spans, random);
        let overlaps = pairs(&report, Breach::Overlap);
        assert_eq!(overlaps, related(&spans, overlap), "seed {seed}: {spans:?}");
        let duplicates = second(pairs(&report, Breach::Duplicate));
        assert_eq!(duplicates, second(related(&spans, |one, other| one.token == other.token)), "seed {seed}");
        let inversions = second(pairs(&report, Breach::Inversion));
        assert_eq!(inversions, second(related(&spans, |one, other| one.token > other.token)), "seed {seed}");
        let epochs = pairs(&report, Breach::NewEpoch);
        assert_eq!(epochs, changes_of_epoch(&spans), "seed {seed}");
        let counts = [overlaps.len(), duplicates.len(), inversions.len(), epochs.len()];
        assert_eq!(report.violations.len(), counts.iter().sum::<usize>(), "seed {seed}");
        for (count, found) in found.iter_mut().zip(counts) {
            *count += found;
        }
    }
    assert!(found.iter().all(|count| *count > 50), "the generator makes all of them: {found:?}");
}

/// Two holds of one name, one right after the other.
fn neighbours(spans: &[Span], random: &mut Rng) -> (usize, usize) {
    loop {
        let first = random.usize(..spans.len());
        let next = (first + 1..spans.len()).find(|other| spans[*other].name == spans[first].name);
        if let Some(next) = next {
            return (first, next);
        }
    }
}

#[test]
fn one_hold_that_lasts_too_long_is_one_overlap() {
    for seed in 0..200 {
        let random = &mut Rng::with_seed(seed);
        let mut spans = sound(random, 60);
        let (first, next) = neighbours(&spans, random);
        spans[first].until = random.u64(spans[next].since + 1..=spans[next].until);
        let report = judge(&spans, random);
        assert_eq!(pairs(&report, Breach::Overlap), [(first as u64, next as u64)].into(), "seed {seed}");
        assert_eq!(report.violations.len(), 1, "seed {seed}: {report}");
        let violation = &report.violations[0];
        assert_eq!((violation.at, violation.until), (spans[next].since, spans[first].until), "seed {seed}");
    }
}

#[test]
fn one_token_that_is_moved_is_one_violation() {
    for seed in 0..200 {
        let random = &mut Rng::with_seed(seed);
        let mut spans = sound(random, 60);
        let (first, next) = neighbours(&spans, random);
        let pair = (first as u64, next as u64);
        let (lower, higher) = (spans[first].token, spans[next].token);
        spans[next].token = lower;
        let repeated = judge(&spans, random);
        assert_eq!(pairs(&repeated, Breach::Duplicate), [pair].into(), "seed {seed}");
        assert_eq!(repeated.violations.len(), 1, "seed {seed}: {repeated}");
        spans[first].token = higher;
        let swapped = judge(&spans, random);
        assert_eq!(pairs(&swapped, Breach::Inversion), [pair].into(), "seed {seed}");
        assert_eq!(swapped.violations.len(), 1, "seed {seed}: {swapped}");
    }
}

#[test]
fn one_overlap_is_found_among_many_thousand_operations() {
    let random = &mut Rng::with_seed(1);
    let mut spans = sound(random, 12_000);
    let (first, next) = neighbours(&spans, random);
    spans[first].until = spans[next].since + 1;
    for span in &mut spans {
        // All are made by one process here, which cannot be killed in each of them.
        if matches!(span.ends, Ends::Killed) {
            span.ends = Ends::Released;
        }
    }
    let mut events = events(&spans, random);
    for event in &mut events {
        if event.process.starts_with('p') {
            event.process = "all".to_owned();
        }
    }
    let dir = TempDir::new().unwrap();
    write(dir.path(), &events);
    let history = History::read(dir.path()).unwrap();
    assert_eq!((history.ops.len(), history.events.len()), (12_001, events.len()));
    let report = check(&history);
    assert_eq!(pairs(&report, Breach::Overlap), [(first as u64, next as u64)].into());
    assert_eq!(report.violations.len(), 1, "{report}");
}
