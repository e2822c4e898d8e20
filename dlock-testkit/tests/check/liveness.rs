//! Somebody who was never served, and something that was left.

use dlock_testkit::check::{Breach, check};
use dlock_testkit::history::{History, What};

use crate::script::{Script, breaches, token};

fn fail(op: u64) -> What {
    What::Fail { op, why: "not in time".to_owned() }
}

#[test]
fn a_wait_that_never_ends_is_caught_unless_its_process_is_gone() {
    let script = Script::complete().invoke(500, "w1", 1, "a").hold("w2", 1, "a", (1100, 1200), 1);
    let report = script.clone().report();
    assert_eq!(breaches(&report), [Breach::Hung]);
    assert_eq!(report.violations[0].ops[0].process, "w1");
    for sound in [
        script.clone().gone(900, "w1"),
        script.clone().event(1300, "w1", fail(1)),
        script.clone().event(1300, "w1", What::Unknown { op: 1, why: "timed out".to_owned() }),
        script.granted(1300, "w1", 1, token(2), None).event(1301, "w1", What::Release { op: 1, until: None }).event(
            1302,
            "w1",
            What::Released { op: 1, error: None },
        ),
    ] {
        let report = sound.report();
        assert!(report.is_sound(), "{report}");
    }
    let begun_after_the_faults = Script::complete().invoke(1050, "w1", 1, "a").hold("w2", 1, "a", (1100, 1200), 1);
    assert_eq!(begun_after_the_faults.breaches(), [Breach::Hung]);
}

#[test]
fn a_release_that_is_never_answered_is_caught_unless_its_process_is_gone() {
    let script = Script::complete().invoke(9, "w1", 1, "a").granted(10, "w1", 1, token(1), None);
    let script = script.event(20, "w1", What::Release { op: 1, until: None });
    assert_eq!(script.clone().breaches(), [Breach::Hung]);
    let failed = What::Released { op: 1, error: Some("timed out".to_owned()) };
    for sound in [script.clone().gone(900, "w1"), script.event(1300, "w1", failed)] {
        let report = sound.report();
        assert!(report.is_sound(), "{report}");
    }
}

#[test]
fn a_holder_that_is_never_told_of_its_loss_is_caught() {
    let script = Script::complete().invoke(500, "w1", 1, "a").granted(501, "w1", 1, token(1), Some(600));
    assert_eq!(script.clone().breaches(), [Breach::Hung]);
    let told = script.lost(700, "w1", 1, 600).report();
    assert!(told.is_sound(), "{told}");
}

#[test]
fn a_name_on_which_nobody_is_served_after_the_faults_is_caught() {
    let script = Script::complete().hold("w2", 1, "a", (10, 20), 1);
    let script = script.invoke(900, "w1", 1, "a").event(1500, "w1", fail(1));
    let report = script.clone().report();
    assert_eq!(breaches(&report), [Breach::Starved]);
    assert_eq!(report.violations[0].name.as_deref(), Some("a"));

    let served = script.hold("w3", 1, "a", (1600, 1700), 2).report();
    assert!(served.is_sound(), "{served}");
    let gave_up_before = Script::complete().invoke(900, "w1", 1, "a").event(950, "w1", fail(1)).report();
    assert!(gave_up_before.is_sound(), "{gave_up_before}");
    let held_rightly = Script::complete().hold("w2", 1, "a", (800, 1600), 1);
    let held_rightly = held_rightly.invoke(900, "w1", 1, "a").event(1500, "w1", fail(1)).report();
    assert!(held_rightly.is_sound(), "{held_rightly}");
}

#[test]
fn what_is_left_in_the_store_is_caught() {
    assert!(Script::complete().report().is_sound());
    for (claims, entries) in [(1, None), (0, Some(3)), (2, Some(0))] {
        let report = Script::complete().event(2001, "lab", What::Scanned { claims, entries }).report();
        assert_eq!(breaches(&report), [Breach::Leftover]);
        assert_eq!(report.orphans, Some(claims.max(entries.unwrap_or(0))));
    }
}

#[test]
fn a_history_in_which_a_file_is_missing_is_not_sound() {
    let script = Script::complete().writes("w9", 500, "other", 7, 2).hold("w8", 1, "other", (1100, 1110), 8);
    let report = script.clone().report();
    assert!(!report.is_sound() && report.incomplete[0].contains("w9"), "{report}");
    let whole = script.hold("w9", 1, "other", (499, 501), 7).report();
    assert!(whole.is_sound(), "{whole}");
}

#[test]
fn a_history_that_proves_nothing_is_not_sound() {
    let without = |unwanted: fn(&What) -> bool| {
        let mut events = Script::complete().events();
        events.retain(|event| !unwanted(&event.what));
        check(&History::of(events).unwrap())
    };
    assert!(without(|_| false).is_sound());
    for (unwanted, complaint) in [
        ((|what| matches!(what, What::Scanned { .. })) as fn(&What) -> bool, "not scanned"),
        (|what| matches!(what, What::Healed), "never ended"),
        (|what| matches!(what, What::Write { .. }), "no register"),
        (|what| !matches!(what, What::Healed | What::Scanned { .. } | What::Write { .. }), "nobody ever held"),
    ] {
        let report = without(unwanted);
        assert!(!report.is_sound());
        assert!(report.violations.is_empty(), "{report}");
        assert_eq!(report.incomplete.len(), 1, "{report}");
        assert!(report.incomplete[0].contains(complaint), "{report}");
        assert!(report.to_string().starts_with("incomplete"), "{report}");
    }
}
