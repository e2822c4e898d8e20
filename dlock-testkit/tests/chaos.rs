//! The `chaos` command: it finds a sound lock sound and a broken one broken, and it repeats itself.

use std::path::Path;
use std::process::{Command, Output};

use dlock_testkit::servers::{Etcd, EtcdSnapshot, Redis, Skip};

fn chaos(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output().expect("a test can start what was built with it")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn dir(parent: &Path) -> String {
    parent.join("run").to_str().expect("temporary files have plain names").to_owned()
}

#[test]
fn a_sound_lock_is_found_sound_and_judged_the_same_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = dir(parent.path());
    let run = chaos(&["--store", "file", "--seed", "5", "--faults", "4", "--dir", &dir]);
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    assert!(text(&run.stdout).starts_with("sound: file, seed 5, 4 faults"), "{}", text(&run.stdout));
    let page = std::fs::read_to_string(parent.path().join("run/timeline.html")).unwrap();
    assert!(page.contains("stop client"));

    let again = chaos(&["check", &dir]);
    assert!(again.status.success());
    assert!(text(&run.stdout).starts_with(&text(&again.stdout)));
    let tables = text(&chaos(&["tables", &dir]).stdout);
    assert!(tables.contains("| file | 5 | 4 |"), "{tables}");
}

#[test]
fn a_broken_lock_is_found_broken_and_can_be_shown() {
    let parent = tempfile::tempdir().unwrap();
    let dir = dir(parent.path());
    let faults = ["--faults", "30", "--only", "stop client,kill client", "--plant", "wrong-token"];
    let run = chaos(&[&["--store", "file", "--dir", &dir], &faults[..]].concat());
    assert_eq!(run.status.code(), Some(1), "{}{}", text(&run.stdout), text(&run.stderr));
    let picture = parent.path().join("picture.svg");
    let check = chaos(&["check", "--picture", picture.to_str().unwrap(), &dir]);
    assert_eq!(check.status.code(), Some(1));
    assert!(text(&check.stdout).contains("token"), "{}", text(&check.stdout));
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));
}

#[test]
fn a_seed_makes_the_same_schedule_again() {
    let plan = |seed| text(&chaos(&["--store", "file", "--faults", "50", "--plan", "--seed", seed]).stdout);
    assert_eq!(plan("3").lines().count(), 50);
    assert_eq!(plan("3"), plan("3"));
    assert_ne!(plan("3"), plan("4"));
}

#[test]
fn what_cannot_be_done_is_said() {
    for (arguments, why) in [
        (&["--store", "file", "--plan", "--only", "kill leader"][..], "choose of"),
        (&["check", "/nonexistent"][..], "/nonexistent"),
        (&["controls", "no-such-bug"][..], "no-such-bug"),
    ] {
        let output = chaos(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(why), "{arguments:?}: {}", text(&output.stderr));
    }
    for file in ["letter.txt", "package.json"] {
        let foreign = tempfile::tempdir().unwrap();
        std::fs::write(foreign.path().join(file), "dear").unwrap();
        let output = chaos(&["--store", "file", "--faults", "1", "--dir", foreign.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(foreign.path().join(file).exists());
    }
    let busy = tempfile::tempdir().unwrap();
    let other_run = std::fs::File::open(busy.path()).unwrap();
    other_run.lock().unwrap();
    let output = chaos(&["--store", "file", "--faults", "1", "--dir", busy.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("another run"), "{}", text(&output.stderr));
}

/// Five faults, each of another kind.
fn stands(installed: Result<(), Skip>, store: &str, kinds: &str) {
    let Ok(()) = installed else { return };
    let parent = tempfile::tempdir().expect("there is a place for temporary files");
    let dir = dir(parent.path());
    let run = chaos(&["--store", store, "--faults", "5", "--only", kinds, "--dir", &dir]);
    assert!(run.status.success(), "{}{}", text(&run.stdout), text(&run.stderr));
    assert!(text(&run.stdout).starts_with(&format!("sound: {store}, seed 1, 5 faults")), "{}", text(&run.stdout));
}

#[test]
fn redis_stands_what_can_be_done_to_one_server() {
    stands(Redis::installed(), "redis", "restart server,flush,fill memory,change type,kill connections");
}

#[test]
fn redis_stands_a_server_that_forgets() {
    stands(Redis::installed(), "redis-volatile", "restart server,flush,stop server,delete entries,forget scripts");
}

#[test]
fn redis_stands_failovers_under_sentinel() {
    stands(Redis::installed(), "redis-sentinel", "fail over,kill primary,isolate primary,kill sentinel,flush");
}

#[test]
fn redis_stands_failovers_and_moves_of_a_cluster() {
    stands(Redis::installed(), "redis-cluster", "fail over,kill primary,isolate primary,move slot,flush");
}

#[test]
fn etcd_stands_what_an_operator_does() {
    let installed = Etcd::installed().and_then(|()| EtcdSnapshot::available());
    stands(
        installed,
        "etcd",
        "restore snapshot,restore snapshot later,revoke rights,change password,restart and compact",
    );
}

#[test]
fn etcd_stands_changes_of_its_leader_and_a_restore() {
    let installed = Etcd::installed().and_then(|()| EtcdSnapshot::available());
    stands(installed, "etcd-3", "kill leader,isolate leader,compact,change password,restore snapshot");
}
