//! Other programs that tests run.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dlock_testkit::servers::{Output, Process};

use crate::BOUND;

/// Tells this very program, run as a child, to be busy with this file.
const BUSY: &str = "DLOCK_TESTKIT_BUSY";

#[test]
fn a_process_can_be_stopped_resumed_and_killed() {
    let script = "while echo tick; do sleep 0.02; done";
    let process = Process::spawn(Command::new("sh").args(["-c", script]), Output::Piped).expect("sh starts");
    let mut lines = BufReader::new(process.take_stdout().expect("its output is piped")).lines();
    lines.next().expect("it prints").expect("its output is text");
    process.stop();
    assert!(process.exit_status().is_none());
    process.resume();
    process.terminate();
    assert!(process.wait_within(BOUND).is_some_and(|status| !status.success()));
    process.kill();
}

#[test]
fn a_process_gets_its_environment_directory_and_status() {
    let mut command = Command::new("sh");
    command.args(["-c", "pwd; echo \"$WORD\"; cat; exit 3"]).env("WORD", "two  words").current_dir("/");
    let process = Process::spawn(&command, Output::Piped).expect("sh starts");
    let mut output = String::new();
    process.take_stdout().expect("its output is piped").read_to_string(&mut output).expect("its output is text");
    assert_eq!(output, "/\ntwo  words\n");
    assert_eq!(process.wait_within(BOUND).and_then(|status| status.code()), Some(3));
}

#[test]
fn a_stopped_process_stands_still_with_all_its_threads() {
    if let Some(path) = env::var_os(BUSY) {
        count_in_many_threads(Path::new(&path));
    }
    let dir = tempfile::tempdir().expect("a directory can be made");
    let counted = dir.path().join("counted");
    let mut busy = Command::new(env::current_exe().expect("a test program knows its path"));
    busy.args(["--exact", "process::a_stopped_process_stands_still_with_all_its_threads"]).env(BUSY, &counted);
    let busy = Process::spawn(&busy, Output::Null).expect("the test program starts again");
    let deadline = Instant::now() + BOUND;
    let length = || fs::metadata(&counted).map_or(0, |meta| meta.len());
    while length() == 0 {
        assert!(Instant::now() < deadline, "the other process counts nothing");
        thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..50 {
        busy.stop();
        let stopped_at = length();
        thread::sleep(Duration::from_millis(2));
        assert_eq!(length(), stopped_at, "a thread went on after the process was stopped");
        busy.resume();
    }
}

fn count_in_many_threads(path: &Path) -> ! {
    let file = File::options().create(true).append(true).open(path).expect("the file can be made");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| while (&file).write_all(b".").is_ok() {});
        }
    });
    unreachable!("the file can always be written");
}
