//! Other programs that tests run.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use dlock_testkit::servers::{Output, Process};

use crate::BOUND;

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
