//! Two who believe at the same time.

use dlock_testkit::check::Breach;
use dlock_testkit::history::{FaultInfo, What};

use crate::script::{MS, Script, breaches, fault, fault_of_worker, token};

#[test]
fn holds_that_overlap_are_caught_and_holds_that_touch_are_not() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 1);
    let report = script.clone().hold("w2", 7, "a", (19, 30), 2).report();
    assert_eq!(breaches(&report), [Breach::Overlap]);
    let overlap = &report.violations[0];
    assert_eq!((overlap.at, overlap.until), (19 * MS, 20 * MS));
    assert_eq!(overlap.name.as_deref(), Some("a"));
    let ops: Vec<_> = overlap.ops.iter().map(|op| (op.process.as_str(), op.op)).collect();
    assert_eq!(ops, [("w1", 1), ("w2", 7)]);
    assert!(!report.is_sound());

    let touching = script.clone().hold("w2", 7, "a", (20, 30), 2).report();
    assert!(touching.is_sound(), "{touching}");
    let elsewhere = script.hold("w2", 7, "b", (19, 30), 2).report();
    assert!(elsewhere.is_sound(), "{elsewhere}");
}

#[test]
fn each_pair_is_reported_once() {
    let script = Script::complete().hold("w1", 1, "a", (10, 40), 1).hold("w2", 1, "a", (20, 50), 2);
    let report = script.hold("w3", 1, "a", (30, 60), 3).report();
    let pairs: Vec<_> =
        report.violations.iter().map(|it| (it.ops[0].process.as_str(), it.ops[1].process.as_str())).collect();
    assert_eq!(pairs, [("w1", "w2"), ("w1", "w3"), ("w2", "w3")]);
}

#[test]
fn a_holder_that_stood_still_believes_no_longer_than_it_was_valid() {
    let stopped = |end: fn(Script) -> Script| {
        end(Script::complete().invoke(9, "w1", 1, "a").granted(10, "w1", 1, token(1), Some(50)))
    };
    let lost = stopped(|script| script.lost(80, "w1", 1, 50));
    let released = stopped(|script| {
        let script = script.event(80, "w1", What::Release { op: 1, until: Some(50 * MS) });
        script.event(81, "w1", What::Released { op: 1, error: None })
    });
    for script in [lost, released] {
        let sound = script.clone().hold("w2", 1, "a", (50, 60), 2).report();
        assert!(sound.is_sound(), "{sound}");
        assert_eq!(script.hold("w2", 1, "a", (49, 60), 2).breaches(), [Breach::Overlap]);
    }
}

#[test]
fn a_renewal_prolongs_belief() {
    let script = Script::complete().invoke(9, "w1", 1, "a").granted(10, "w1", 1, token(1), Some(50)).gone(100, "w1");
    let sound = script.clone().hold("w2", 1, "a", (50, 60), 2).report();
    assert!(sound.is_sound(), "{sound}");
    let renewed = script.event(30, "w1", What::Renewed { op: 1, until: 70 * MS });
    assert_eq!(renewed.clone().hold("w2", 1, "a", (50, 60), 2).breaches(), [Breach::Overlap]);
    let sound = renewed.hold("w2", 1, "a", (70, 80), 2).report();
    assert!(sound.is_sound(), "{sound}");
}

#[test]
fn a_process_that_is_gone_believes_nothing() {
    let script = Script::complete().invoke(9, "w1", 1, "a").granted(10, "w1", 1, token(1), None).gone(15, "w1");
    let sound = script.clone().hold("w2", 1, "a", (15, 20), 2).report();
    assert!(sound.is_sound(), "{sound}");
    assert_eq!(script.hold("w2", 1, "a", (14, 20), 2).breaches(), [Breach::Overlap]);
}

#[test]
fn what_was_granted_after_its_validity_was_never_believed() {
    let script = Script::complete().invoke(9, "w1", 1, "a").granted(60, "w1", 1, token(1), Some(50));
    let report = script.lost(61, "w1", 1, 50).hold("w2", 1, "a", (55, 70), 2).report();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn an_overlap_is_excused_only_while_exclusion_is_not_promised() {
    let breaking = FaultInfo { breaks_exclusion_for: Some(5 * MS), ..fault(0, "step clock") };
    let overlap = |from: u64, to: u64, info: &FaultInfo| {
        let script = Script::complete().fault((10, 12), info.clone()).hold("w1", 1, "a", (5, to), 1);
        script.hold("w2", 1, "a", (from, 50), 2).report()
    };
    let overlap_at = |at, info: &FaultInfo| overlap(at, 17, info);
    for at in [10, 16] {
        let report = overlap_at(at, &breaking);
        assert!(report.is_sound(), "{report}");
        assert_eq!(report.excused.len(), 1);
        assert_eq!(report.excused[0].excused_by, Some(breaking.clone()));
    }
    for (from, to) in [(9, 17), (10, 18), (18, 19)] {
        let report = overlap(from, to, &breaking);
        assert_eq!((breaches(&report), report.excused.len()), (vec![Breach::Overlap], 0), "from {from} to {to}");
    }

    let aimed = |name: &str| FaultInfo { name: Some(name.to_owned()), ..breaking.clone() };
    assert!(overlap_at(15, &aimed("a")).is_sound());
    assert!(!overlap_at(15, &aimed("b")).is_sound());

    let of_worker = |who| FaultInfo { breaks_exclusion_for: Some(5 * MS), ..fault_of_worker(0, "step clock", who) };
    assert!(overlap_at(15, &of_worker("w2")).is_sound());
    assert!(!overlap_at(15, &of_worker("w3")).is_sound());

    assert!(!overlap_at(11, &fault(0, "stop server")).is_sound(), "this one breaks nothing");
}

#[test]
fn the_faults_under_way_are_named() {
    let script = Script::complete().fault((10, 18), fault(0, "before")).fault((18, 25), fault(1, "at the time"));
    let script = script.fault((31, 40), fault(2, "after"));
    let report = script.hold("w1", 1, "a", (5, 30), 1).hold("w2", 1, "a", (20, 50), 2).report();
    let kinds: Vec<_> = report.violations[0].faults.iter().map(|info| info.kind.as_str()).collect();
    assert_eq!(kinds, ["at the time"]);
}
