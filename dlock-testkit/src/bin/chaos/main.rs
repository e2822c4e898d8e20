//! Runs a store under faults, checks the history and draws it.

mod check;
mod command;
mod controls;
mod lockers;
mod stores;
mod tables;
mod trial;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use dlock_testkit::chaos;

use crate::command::{Action, Command};

fn main() -> ExitCode {
    if let Some(code) = chaos::serve_as_worker(worker::connect) {
        return code;
    }
    let command = Command::parse();
    let done = match command.action {
        None => trial::run(command.trial),
        Some(Action::Check(arguments)) => check::run(&arguments),
        Some(Action::Tables(arguments)) => tables::run(&arguments),
        Some(Action::Controls(arguments)) => controls::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}
