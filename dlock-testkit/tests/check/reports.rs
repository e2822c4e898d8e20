//! What people and machines are shown.

use dlock_testkit::check::{Report, tables};
use dlock_testkit::history::{FaultInfo, What};

use crate::script::{MS, Script, fault, fault_of_worker, token};

fn about(seed: u64) -> What {
    What::About { store: "etcd".to_owned(), seed, command: format!("chaos --seed {seed}") }
}

/// Two kinds of faults: one that stops a worker, which loses its lease, and one that hits all.
fn run() -> Script {
    Script::complete()
        .event(0, "lab", about(7))
        .fault((100, 200), fault_of_worker(0, "stop client", "w1"))
        .fault((300, 320), fault(1, "restart server"))
        .invoke(89, "w1", 1, "a")
        .granted(90, "w1", 1, token(1), Some(150))
        .lost(210, "w1", 1, 150)
        .hold("w2", 1, "a", (205, 250), 2)
        .invoke(259, "w2", 2, "a")
        .granted(260, "w2", 2, token(3), Some(330))
        .lost(334, "w2", 2, 330)
        .hold("w1", 2, "a", (350, 360), 4)
        .hold("w0", 1, "other", (322, 330), 5)
}

#[test]
fn a_row_says_what_came_of_a_kind_of_fault() {
    let report = run().report();
    assert!(report.is_sound(), "{report}");
    let row = |kind: &str| report.rows.iter().find(|row| row.kind == kind).unwrap();

    let before = row("");
    assert_eq!((before.faults, before.acquisitions), (0, 2));
    let stop = row("stop client");
    assert_eq!((stop.faults, stop.acquisitions), (1, 2));
    assert_eq!((stop.recovery.count(), stop.recovery.percentile(100)), (2, Some(122 * MS)), "a at 205, other at 322");
    assert_eq!(stop.recovery.percentile(50), Some(5 * MS));
    assert_eq!(stop.loss_detection.percentile(99), Some(110 * MS));
    assert_eq!(stop.noticed_late.count(), 0, "it was stopped");
    let restart = row("restart server");
    assert_eq!((restart.faults, restart.acquisitions), (1, 2));
    assert_eq!(restart.recovery.percentile(99), Some(30 * MS));
    assert_eq!(restart.loss_detection.percentile(50), Some(34 * MS));
    assert_eq!(restart.noticed_late.percentile(50), Some(4 * MS));
    assert_eq!((report.noticed_late.count(), report.totals.lost), (1, 2));
}

#[test]
fn a_loss_counts_for_the_last_fault_that_could_hit_the_holder() {
    let of_name = FaultInfo { name: Some("b".to_owned()), ..fault(2, "delete entries") };
    let script = run().fault((332, 333), of_name).fault((331, 333), fault_of_worker(3, "cut client", "w9"));
    let report = script.report();
    let detected: Vec<_> =
        report.rows.iter().map(|row| (row.kind.as_str(), row.loss_detection.count())).filter(|it| it.1 > 0).collect();
    assert_eq!(detected, [("restart server", 1), ("stop client", 1)]);
}

#[test]
fn violations_count_for_the_fault_that_began_last() {
    let report = overlapping().report();
    let overlaps: Vec<_> = report.rows.iter().map(|row| (row.kind.as_str(), row.overlaps)).collect();
    assert_eq!(overlaps, [("", 0), ("restart server", 1), ("stop client", 0)]);
}

/// `w3` comes to hold while `w1` does.
fn overlapping() -> Script {
    run().hold("w3", 1, "a", (355, 370), 5).writes("w3", 356, "a", 5, 1).writes("w0", 500, "other", 5, 2)
}

#[test]
fn people_are_shown_what_happened_around_a_violation() {
    let text = overlapping().report().to_string();
    assert!(text.starts_with("1 violation: etcd, seed 7, 2 faults\n"), "{text}");
    for line in [
        "overlap at 355000000 ns: w1/0 and w3/0 both believed for 5.000 ms that they hold a",
        "           -5.000 ms  w1         op 2: holds with token 4",
        "           +0.000 ms  w3         op 1: holds with token 5",
        "           +1.000 ms  resource   w3/0 writes 1 to a (fenced) with token 5: accepted",
        "           +5.000 ms  w1         op 2: releases",
        "run it again: chaos --seed 7",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("to other"), "another name's register does not belong here\n{text}");
    assert!(!text.contains("w2 "), "who is not involved does not belong here\n{text}");
}

#[test]
fn many_violations_are_counted_and_few_are_shown() {
    let script = (0..50).fold(Script::complete(), |script, op| {
        let from = 10 * op + 10;
        script.hold("w1", op, "a", (from, from + 5), 2 * op + 1).hold("w2", op, "a", (from + 4, from + 8), 2 * op + 2)
    });
    let report = script.report();
    assert_eq!(report.violations.len(), 50);
    let text = report.to_string();
    assert_eq!(text.matches("both believed").count(), 3, "{text}");
    assert!(text.contains("overlap: 47 more"), "{text}");
}

#[test]
fn machines_are_given_json() {
    let json = serde_json::to_value(overlapping().report()).unwrap();
    assert_eq!(json["violations"][0]["breach"], "overlap");
    assert_eq!(json["violations"][0]["ops"][1]["process"], "w3");
    assert_eq!(json["rows"][1]["kind"], "restart server");
    assert_eq!(json["rows"][1]["recovery"]["p99_ns"], 30 * MS);
    assert_eq!(json["totals"]["acquisitions"], 7);
}

#[test]
fn several_runs_make_one_table_per_store() {
    let reports: Vec<Report> = vec![run().report(), overlapping().event(1, "lab", about(8)).report()];
    let expected = "\
| store | seed | faults | operations | acquisitions | fenced violations | token inversions | overlaps | excused | new epochs | orphans | hung | verdict |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| etcd | 7 | 2 | 6 | 6 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | sound |
| etcd | 8 | 2 | 7 | 7 | 0 | 0 | 1 | 0 | 0 | 0 | 0 | **not sound** |

### etcd

| fault | faults | acquisitions | fenced violations | token inversions | overlaps | excused | recovery p50 | p99 | loss told p50 | p99 | told late p50 | p99 |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| (before the first) | 0 | 4 | 0 | 0 | 0 | 0 | – | – | – | – | – | – |
| restart server | 2 | 5 | 0 | 0 | 1 | 0 | 2.0 ms | 30 ms | 34 ms | 34 ms | 4.0 ms | 4.0 ms |
| stop client | 2 | 4 | 0 | 0 | 0 | 0 | 5.0 ms | 122 ms | 110 ms | 110 ms | – | – |
";
    assert_eq!(tables(&reports), expected);
}
