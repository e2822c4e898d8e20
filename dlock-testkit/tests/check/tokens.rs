//! Tokens that do not grow.

use dlock_core::Token;
use dlock_testkit::check::Breach;

use crate::script::{Script, breaches, token};

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
