//! Somebody who was never served, and something that was left.

use dlock_testkit::check::{Breach, check};
use dlock_testkit::history::{History, What};

use crate::script::{Script, breaches, fault_of_worker, token};

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
fn a_name_that_nobody_is_given_for_a_minute_is_caught_wherever_in_the_run() {
    let served = |at| {
        let script = long().invoke(15_000, "w1", 1, "a").granted(at, "w1", 1, token(8), None);
        let script = script.event(at + 1, "w1", What::Release { op: 1, until: None });
        script.event(at + 2, "w1", What::Released { op: 1, error: None })
    };
    let report = served(76_000).report();
    assert_eq!(breaches(&report), [Breach::Starved]);
    assert_eq!(report.violations[0].name.as_deref(), Some("a"));
    assert_eq!(report.violations[0].ops[0].process, "w1");
    for sound in [
        served(74_000),
        served(76_000).hold("w2", 1, "a", (45_000, 45_010), 2),
        served(76_000).hold("w2", 1, "a", (14_000, 75_990), 2),
    ] {
        let report = sound.report();
        assert!(report.is_sound(), "{report}");
    }
    let not_believed = served(76_000).invoke(44_000, "w2", 1, "a").granted(45_000, "w2", 1, token(2), Some(44_500));
    assert_eq!(not_believed.lost(45_001, "w2", 1, 44_500).breaches(), [Breach::Starved]);

    let tried = |again| {
        let script = long().invoke(15_000, "w1", 1, "a").event(45_000, "w1", fail(1));
        script.invoke(again, "w1", 2, "a").event(76_000, "w1", fail(2))
    };
    assert_eq!(tried(45_200).breaches(), [Breach::Starved], "who tries again at once waits on");
    let report = tried(47_000).report();
    assert!(report.is_sound(), "nobody wanted it for a while: {report}");
}

#[test]
fn a_process_that_is_served_no_more_after_the_faults_is_caught() {
    let script = Script::complete().hold("w1", 0, "other", (100, 110), 2).hold("w0", 9, "other", (1500, 1600), 5);
    let errors_from = |begin| {
        (1..=40).fold(script.clone(), |script, op| {
            let at = begin + 20 * op;
            let unknown = What::Unknown { op, why: "cannot reach the store".to_owned() };
            script.invoke(at, "w1", op, "other").event(at + 1, "w1", unknown)
        })
    };
    let report = errors_from(1010).report();
    assert_eq!(breaches(&report), [Breach::Starved]);
    assert!(report.violations[0].message.contains("w1"), "{report}");
    let tried_while_held = script.clone().invoke(1510, "w1", 1, "other").event(1590, "w1", fail(1));
    for sound in [
        errors_from(1010).gone(1990, "w1"),
        errors_from(1010).hold("w1", 99, "other", (1900, 1910), 6),
        errors_from(130),
        tried_while_held,
    ] {
        let report = sound.report();
        assert!(report.is_sound(), "{report}");
    }
    let tried_longer = script.invoke(1510, "w1", 1, "other").event(1610, "w1", fail(1));
    assert_eq!(tried_longer.breaches(), [Breach::Starved]);
}

#[test]
fn a_holder_that_is_told_of_its_loss_late_is_caught_unless_it_stood_still() {
    let lost = |told| {
        let script = long().invoke(9, "w1", 1, "b").granted(10, "w1", 1, token(1), Some(1000));
        script.lost(told, "w1", 1, 1000)
    };
    assert_eq!(lost(6_001).breaches(), [Breach::ToldLate]);
    let stop = |script: Script, kind, who| script.fault((900, 20_000), fault_of_worker(0, kind, who));
    for sound in [lost(5_999), stop(lost(24_000), "stop client", "w1")] {
        let report = sound.report();
        assert!(report.is_sound(), "{report}");
    }
    for late in [
        stop(lost(26_000), "stop client", "w1"),
        stop(lost(24_000), "stop client", "w2"),
        stop(lost(24_000), "cut client", "w1"),
    ] {
        assert_eq!(late.breaches(), [Breach::ToldLate]);
    }
    let granted_late = long().invoke(9, "w1", 1, "b").granted(30_000, "w1", 1, token(1), Some(1000));
    let report = granted_late.lost(30_001, "w1", 1, 1000).report();
    assert!(report.is_sound(), "it was told as soon as it was granted: {report}");
}

#[test]
fn releases_that_are_mostly_answered_by_errors_prove_nothing() {
    // One release more is answered without an error: that of the run that is complete without these.
    let releases = |failed: u64, clean: u64| {
        let script = (0..failed).fold(Script::complete(), |script, op| {
            let at = 10 + 10 * op;
            let error = Some("no such claim".to_owned());
            let script = script.invoke(at, "w1", op, "a").granted(at + 1, "w1", op, token(op + 1), None);
            let script = script.event(at + 2, "w1", What::Release { op, until: None });
            script.event(at + 3, "w1", What::Released { op, error })
        });
        (0..clean).fold(script, |script, op| {
            let at = 510 + 10 * op;
            script.hold("w2", op, "a", (at, at + 5), failed + op + 1)
        })
    };
    let report = releases(12, 0).report();
    assert!(report.violations.is_empty() && report.incomplete.len() == 1, "{report}");
    assert!(report.incomplete[0].contains("12 of 13 releases"), "{report}");
    assert!(!releases(12, 10).report().is_sound());
    for (failed, clean) in [(8, 0), (12, 11), (0, 20)] {
        let report = releases(failed, clean).report();
        assert!(report.is_sound(), "{failed} failed, {clean} did not: {report}");
    }
}

/// A run of two minutes whose faults are over at 110 s.
fn long() -> Script {
    let script = Script::default().hold("w0", 0, "a", (1, 3), 1).writes("w0", 2, "a", 1, 1);
    let script = script.event(110_000, "lab", What::Healed).hold("w0", 9, "a", (110_020, 110_030), 9);
    script.event(120_000, "lab", What::Scanned { claims: 0, entries: Some(0) })
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
