//! Registers that were not written in turn.

use dlock_core::Token;
use dlock_testkit::check::Breach;
use dlock_testkit::history::{Register, What};

use crate::script::{Script, breaches, fault, fault_of_worker, owner, token};

/// Two holds, and one write of the first.
fn two_holds() -> Script {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 1).hold("w2", 1, "a", (30, 40), 2);
    script.writes("w1", 15, "a", 1, 1)
}

#[test]
fn an_update_that_got_lost_is_caught() {
    let sound = two_holds().writes("w2", 35, "a", 2, 2).report();
    assert!(sound.is_sound(), "{sound}");
    for value in [1, 3] {
        let report = two_holds().writes("w2", 35, "a", 2, value).report();
        assert_eq!(breaches(&report), [Breach::LostUpdate], "{value} after 1");
        let ops: Vec<_> = report.violations[0].ops.iter().map(|op| op.process.as_str()).collect();
        assert_eq!(ops, ["w1", "w2"]);
    }
}

#[test]
fn a_write_that_was_refused_changes_nothing() {
    let refused = What::Write {
        register: Register::Fenced,
        name: "a".to_owned(),
        owner: owner("w1"),
        token: Some(token(1)),
        value: 2,
        accepted: false,
    };
    let report = two_holds().writes("w2", 35, "a", 2, 2).event(36, "resource", refused).report();
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.totals.fenced.writes_refused, 1);
}

#[test]
fn a_stale_token_that_was_admitted_is_caught() {
    let script = two_holds().writes("w2", 35, "a", 2, 2);
    let sound = script.clone().writes("w2", 36, "a", 2, 3).report();
    assert!(sound.is_sound(), "{sound}");
    let report = script.clone().writes("w1", 36, "a", 1, 3).report();
    assert_eq!(breaches(&report), [Breach::StaleAccess]);
    assert_eq!(report.violations[0].ops[0].process, "w1");
    assert_eq!(script.writes_with("w2", 36, "a", None, 3).breaches(), [Breach::StaleAccess]);
}

#[test]
fn a_stale_read_that_was_admitted_is_caught() {
    let read = |who: &str, value| What::Read {
        register: Register::Fenced,
        name: "a".to_owned(),
        owner: owner(who),
        token: Some(token(value)),
        value: Some(1),
    };
    let sound = two_holds().event(32, "resource", read("w2", 2)).report();
    assert!(sound.is_sound(), "{sound}");
    let stale = two_holds().event(32, "resource", read("w2", 2)).event(33, "resource", read("w1", 1));
    assert_eq!(stale.breaches(), [Breach::StaleAccess]);
}

#[test]
fn another_epoch_needs_acceptance() {
    let next = Token { epoch: 2, value: 1 };
    let script = two_holds().hold_with("w3", 1, "a", (50, 60), next).writes_with("w3", 55, "a", Some(next), 2);
    assert_eq!(script.clone().breaches(), [Breach::NewEpoch, Breach::StaleAccess]);
    let accepted = script.event(54, "resource", What::EpochAccepted { name: "a".to_owned(), epoch: 2 });
    assert_eq!(accepted.breaches(), [Breach::NewEpoch]);
}

#[test]
fn two_operations_that_write_with_one_token_are_caught() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 1).hold("w2", 1, "a", (30, 40), 1);
    let report = script.writes("w1", 15, "a", 1, 1).writes("w2", 35, "a", 1, 2).report();
    assert_eq!(breaches(&report), [Breach::Duplicate, Breach::SharedToken]);
    let same = two_holds().writes("w1", 16, "a", 1, 2).report();
    assert!(same.is_sound(), "{same}");

    let same_owner = Script::complete().hold("w1", 1, "a", (10, 20), 1).hold("w1", 2, "a", (30, 40), 1);
    let report = same_owner.writes("w1", 15, "a", 1, 1).writes("w1", 35, "a", 1, 2).report();
    assert_eq!(breaches(&report), [Breach::Duplicate, Breach::SharedToken]);
}

#[test]
fn corruption_of_an_unfenced_register_is_counted_and_no_violation() {
    let report = unfenced(two_holds()).report();
    assert!(report.is_sound(), "{report}");
    let found: Vec<_> = report.corruptions.iter().map(|it| (it.owner.as_str(), it.expected, it.found)).collect();
    assert_eq!(found, [("w1/0", 2, 1)]);
    assert_eq!(report.corruptions_while_all_ran(), 1);

    for (span, kind, all_ran) in [
        ((13, 34), "stop client", 0),
        ((2, 11), "stop client", 1),
        ((37, 39), "stop client", 1),
        ((13, 34), "cut client", 1),
    ] {
        let report = unfenced(two_holds().fault(span, fault_of_worker(0, kind, "w1"))).report();
        assert_eq!(report.corruptions_while_all_ran(), all_ran, "{kind} {span:?}");
    }
    let report = unfenced(two_holds().fault((13, 34), fault(0, "stop server"))).report();
    assert_eq!(report.corruptions_while_all_ran(), 1, "no process of the run stood still");
}

/// `w1` reads 0 and writes 1 only after `w2` did so.
fn unfenced(script: Script) -> Script {
    let register = Register::Unfenced;
    let name = || "a".to_owned();
    let read = |who| What::Read { register, name: name(), owner: owner(who), token: None, value: Some(0) };
    let write = |who| What::Write { register, name: name(), owner: owner(who), token: None, value: 1, accepted: true };
    script.event(12, "resource", read("w1")).event(31, "resource", read("w2")).event(32, "resource", write("w2")).event(
        35,
        "resource",
        write("w1"),
    )
}

#[test]
fn a_register_whose_record_lacks_its_beginning_proves_nothing() {
    for register in [Register::Fenced, Register::Unfenced] {
        let write = |value, accepted| What::Write {
            register,
            name: "a".to_owned(),
            owner: owner("w1"),
            token: Some(token(1)),
            value,
            accepted,
        };
        let script = Script::complete().hold("w1", 1, "a", (10, 20), 1);
        let headless = script.clone().event(15, "resource", write(500, true)).report();
        assert!(headless.violations.is_empty() && headless.incomplete.len() == 1, "{headless}");
        assert!(headless.incomplete[0].contains("500"), "{headless}");
        let refused = script.event(14, "resource", write(500, false)).event(15, "resource", write(1, true)).report();
        assert!(refused.is_sound(), "{refused}");
    }
}

#[test]
fn a_read_of_what_nobody_wrote_proves_nothing() {
    for register in [Register::Fenced, Register::Unfenced] {
        let read =
            |value| What::Read { register, name: "a".to_owned(), owner: owner("w2"), token: Some(token(2)), value };
        let write = What::Write {
            register,
            name: "a".to_owned(),
            owner: owner("w1"),
            token: Some(token(1)),
            value: 1,
            accepted: true,
        };
        let script = Script::complete().hold("w1", 1, "a", (10, 20), 1).hold("w2", 1, "a", (30, 40), 2);
        let script = script.event(15, "resource", write);
        for value in [0, 2] {
            let report = script.clone().event(35, "resource", read(Some(value))).report();
            assert!(report.violations.is_empty() && report.incomplete.len() == 1, "{value}: {report}");
        }
        for value in [Some(1), None] {
            let report = script.clone().event(35, "resource", read(value)).report();
            assert!(report.is_sound(), "{report}");
        }
        let unwritten = What::Read { register, name: "b".to_owned(), owner: owner("w2"), token: None, value: Some(3) };
        let script = script.hold("w2", 2, "b", (50, 60), 1).event(55, "resource", unwritten);
        assert!(script.report().incomplete[0].contains("never written"), "nothing but 0 is there at first");
    }
}
