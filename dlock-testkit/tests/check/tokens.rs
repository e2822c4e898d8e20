//! Tokens that do not grow.

use dlock_core::Token;
use dlock_testkit::check::Breach;
use dlock_testkit::history::FaultInfo;

use crate::script::{MS, Script, breaches, fault, token};

#[test]
fn a_lower_token_of_a_later_hold_is_caught() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5);
    assert_eq!(script.clone().hold("w2", 1, "a", (30, 40), 4).breaches(), [Breach::Inversion]);
    let sound = script.clone().hold("w2", 1, "a", (30, 40), 6).report();
    assert!(sound.is_sound(), "{sound}");
    let elsewhere = script.hold("w2", 1, "b", (30, 40), 4).report();
    assert!(elsewhere.is_sound(), "{elsewhere}");
}

#[test]
fn an_inversion_names_the_highest_token_before() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 9).hold("w2", 1, "a", (30, 40), 3);
    let report = script.hold("w3", 1, "a", (50, 60), 4).report();
    let tokens: Vec<Vec<u64>> = report
        .violations
        .iter()
        .map(|violation| violation.ops.iter().map(|op| op.token.unwrap().value).collect())
        .collect();
    assert_eq!(tokens, [[9, 3], [9, 4]]);
}

#[test]
fn a_grant_that_came_too_late_to_be_believed_inverts_nothing() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5).invoke(1, "w2", 1, "a");
    let late = script.clone().granted(30, "w2", 1, token(4), Some(9)).lost(31, "w2", 1, 9).report();
    assert!(late.is_sound(), "{late}");
    let believed = script.granted(30, "w2", 1, token(4), Some(40)).lost(41, "w2", 1, 40);
    assert_eq!(believed.breaches(), [Breach::Inversion]);
}

#[test]
fn a_token_that_is_given_twice_is_caught() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5);
    assert_eq!(script.clone().hold("w2", 1, "a", (30, 40), 5).breaches(), [Breach::Duplicate]);
    let elsewhere = script.hold("w2", 1, "b", (30, 40), 5).report();
    assert!(elsewhere.is_sound(), "{elsewhere}");
}

#[test]
fn a_change_of_epoch_is_caught() {
    let next = |value| Token { epoch: 2, value };
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5);
    let changed = script.clone().hold_with("w2", 1, "a", (30, 40), next(6)).report();
    assert_eq!(breaches(&changed), [Breach::NewEpoch]);
    let ops: Vec<_> = changed.violations[0].ops.iter().map(|op| op.process.as_str()).collect();
    assert_eq!(ops, ["w1", "w2"]);
    let changes: Vec<_> = changed.epochs.iter().map(|it| (it.name.as_str(), it.from, it.to)).collect();
    assert_eq!(changes, [("a", 1, 2)]);

    let every_time = (1..=5).fold(script.clone(), |script, op| {
        let token = Token { epoch: 1 + op, value: 1 };
        script.hold_with("w2", op, "a", (20 + 10 * op, 25 + 10 * op), token)
    });
    assert_eq!(every_time.breaches(), [Breach::NewEpoch; 5]);

    let elsewhere = script.clone().hold_with("w2", 1, "b", (30, 40), next(6)).report();
    assert!(elsewhere.is_sound(), "each name has an epoch of its own: {elsewhere}");
    let too_late = script.invoke(29, "w2", 1, "a").granted(40, "w2", 1, next(6), Some(35)).lost(41, "w2", 1, 35);
    let too_late = too_late.hold("w3", 1, "a", (50, 60), 6).report();
    assert!(too_late.is_sound(), "nobody believed in the other epoch: {too_late}");
}

#[test]
fn tokens_of_different_epochs_do_not_compare() {
    let next = |value| Token { epoch: 2, value };
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5).hold_with("w2", 1, "a", (30, 40), next(4));
    assert_eq!(script.clone().hold_with("w3", 1, "a", (50, 60), next(5)).breaches(), [Breach::NewEpoch]);
    let within = script.hold_with("w3", 1, "a", (50, 60), next(3));
    assert_eq!(within.breaches(), [Breach::NewEpoch, Breach::Inversion]);
}

fn in_epoch(epoch: u64, value: u64) -> Token {
    Token { epoch, value }
}

/// A fault that takes the history of everything, or of one name.
fn flush(number: u64, name: Option<&str>) -> FaultInfo {
    FaultInfo { takes_history: true, name: name.map(str::to_owned), ..fault(number, "flush") }
}

#[test]
fn a_fault_that_takes_history_excuses_one_new_epoch_of_each_name_that_it_could_hit() {
    let changed = |info: FaultInfo| {
        let script = Script::complete().hold("w1", 1, "a", (10, 20), 5).hold("w1", 2, "b", (10, 20), 6);
        let script = script.fault((25, 28), info).hold_with("w2", 1, "a", (30, 40), in_epoch(2, 1));
        script.hold_with("w2", 2, "b", (30, 40), in_epoch(3, 1))
    };
    let report = changed(flush(0, None)).report();
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.epochs.len(), report.excused.len(), report.excused_of_exclusion()), (2, 2, 0));
    assert_eq!(report.excused[0].excused_by, Some(flush(0, None)));
    assert!(report.rows.iter().all(|row| row.tokens == 0), "an excused change is no inversion");

    assert_eq!(changed(flush(0, Some("a"))).breaches(), [Breach::NewEpoch], "it was not aimed at b");
    let other = FaultInfo { breaks_exclusion_for: Some(u64::MAX), ..fault(0, "fail over") };
    assert_eq!(changed(other).breaches(), [Breach::NewEpoch; 2], "it takes no history");

    let again = changed(flush(0, None)).hold_with("w3", 1, "a", (50, 60), in_epoch(4, 1));
    assert_eq!(again.clone().breaches(), [Breach::NewEpoch], "one loss of history, two new epochs");
    let twice = again.fault((45, 46), flush(1, None)).report();
    assert!(twice.is_sound(), "{twice}");
}

#[test]
fn a_fault_excuses_no_epoch_that_began_before_it_or_was_asked_for_in_vain_after_it() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5).hold_with("w2", 1, "a", (50, 60), in_epoch(2, 1));
    let excused = script.clone().fault((25, 30), flush(0, None)).report();
    assert!(excused.is_sound(), "{excused}");
    assert_eq!(script.clone().fault((51, 52), flush(0, None)).breaches(), [Breach::NewEpoch], "it came later");
    // The server went on with its history after the fault: something else took it.
    let survived = script.fault((25, 30), flush(0, None)).hold("w3", 1, "a", (40, 45), 6);
    assert_eq!(survived.breaches(), [Breach::NewEpoch]);
}

#[test]
fn epochs_are_told_apart_that_began_by_faults_in_a_row() {
    // The second of two restores has begun, with its snapshot, when the first new epoch is seen.
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5);
    let script = script.fault((25, 30), flush(0, None)).fault((35, 45), flush(1, None));
    let script = script.hold_with("w2", 1, "a", (40, 42), in_epoch(2, 1));
    let twice = script.clone().hold_with("w3", 1, "a", (50, 52), in_epoch(3, 1));
    let report = twice.clone().report();
    assert!(report.is_sound(), "{report}");
    assert_eq!(twice.hold_with("w4", 1, "a", (60, 62), in_epoch(4, 1)).breaches(), [Breach::NewEpoch]);
    // Nobody was served in between: one from before the second was told late.
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5);
    let script = script.fault((25, 30), flush(0, None)).fault((35, 45), flush(1, None));
    let script = script.hold_with("w2", 1, "a", (50, 52), in_epoch(2, 1));
    let late = script.invoke(33, "w3", 1, "a").granted(54, "w3", 1, token(6), Some(56)).lost(57, "w3", 1, 56);
    let report = late.report();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn an_epoch_comes_back_only_with_a_grant_from_before_the_fault_that_ended_it() {
    let script = Script::complete().hold("w1", 1, "a", (10, 12), 5).fault((20, 25), flush(0, None));
    let script = script.hold_with("w2", 1, "a", (30, 32), in_epoch(2, 1));
    // Asked for at 15, it was granted before the flush, and heard of it late.
    let late = script.clone().invoke(15, "w3", 1, "a").granted(34, "w3", 1, token(6), Some(36)).lost(37, "w3", 1, 36);
    let late = late.hold_with("w2", 2, "a", (40, 42), in_epoch(2, 2)).report();
    assert!(late.is_sound(), "{late}");
    assert_eq!(late.epochs.len(), 3);
    let back = script.hold("w3", 1, "a", (34, 36), 6).hold_with("w2", 2, "a", (40, 42), in_epoch(2, 2));
    assert_eq!(back.breaches(), [Breach::NewEpoch; 2]);
}

#[test]
fn an_inversion_within_an_epoch_is_none_of_the_faults_that_take_history() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 5).fault((22, 28), flush(0, None));
    assert_eq!(script.clone().hold("w2", 1, "a", (30, 40), 4).breaches(), [Breach::Inversion]);
    assert_eq!(script.hold("w2", 1, "a", (30, 40), 5).breaches(), [Breach::Duplicate]);
}

#[test]
fn a_grant_is_told_after_the_next_one_only_where_exclusion_is_not_promised() {
    let step = FaultInfo { breaks_exclusion_for: Some(10 * MS), ..fault(0, "step clock") };
    // Both asked before either was told.
    let asked = |at| {
        let script = Script::complete().invoke(10, "w2", 1, "a").granted(30, "w2", 1, token(6), Some(32));
        script
            .lost(33, "w2", 1, 32)
            .invoke(at, "w1", 1, "a")
            .granted(40, "w1", 1, token(5), Some(50))
            .lost(51, "w1", 1, 50)
    };
    let excused = asked(20).fault((25, 45), step.clone()).report();
    assert!(excused.is_sound(), "{excused}");
    assert_eq!((excused.excused.len(), excused.excused_of_exclusion()), (1, 1));
    assert_eq!(asked(20).fault((25, 30), step.clone()).report().violations.len(), 0, "within 10 ms after its end");
    for (script, why) in [
        (asked(20), "no fault"),
        (asked(20).fault((25, 45), fault(0, "stop server")), "exclusion is promised"),
        (asked(20).fault((31, 45), step.clone()), "the higher one was told before it"),
        (asked(20).fault((15, 25), step.clone()), "the lower one was told when it was promised again"),
        (asked(31).fault((25, 45), step), "it asked after the higher one was told: the order is wrong"),
    ] {
        assert_eq!(script.breaches(), [Breach::Inversion], "{why}");
    }
}
