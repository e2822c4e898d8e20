//! Runs a store under faults, checks the history and draws it.

mod check;
mod command;
mod controls;
mod etcd;
mod lockers;
mod stores;
mod tables;
mod trial;
mod worker;

use std::fmt::Display;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use clap::Parser;
use dlock_testkit::chaos;

use crate::command::{Action, Command};

/// The exit status of a run that could not be made.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = chaos::serve_as_worker(worker::connect) {
        return code;
    }
    let command = Command::parse();
    let done = panic::catch_unwind(|| match command.action {
        None => trial::run(command.trial),
        Some(Action::Check(arguments)) => check::run(&arguments),
        Some(Action::Tables(arguments)) => tables::run(&arguments),
        Some(Action::Controls(arguments)) => controls::run(&arguments),
    });
    match done {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("chaos: {error}");
            ExitCode::from(FAILED)
        }
        // It has been shown: servers that do not start, or do not obey, panic.
        Err(_) => ExitCode::from(FAILED),
    }
}

/// Prints to standard output, for as long as somebody reads it.
fn print(text: impl Display) -> io::Result<()> {
    match write!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
