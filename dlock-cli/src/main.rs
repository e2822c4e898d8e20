//! The `dlock` command: runs a job under a distributed lock, and shows who holds one.

mod args;
mod backend;
mod exit;
mod run;
mod show;
mod text;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};
use crate::text::say;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(answer) => {
            // Nobody is left to tell when the output is closed.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    start_logging();
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(carry_out(args.command)),
        Err(error) => Err(Failure::new(Exit::Internal, format!("cannot start: {error}"))),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            say(&failure.message);
            failure.exit.into()
        }
    }
}

async fn carry_out(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Show(args) => show::show(args).await,
    }
}

/// What the library has to say goes to the standard error, like what `dlock` has to say itself, which
/// includes all that the keeper would warn of.
fn start_logging() {
    let filter =
        EnvFilter::try_from_env("DLOCK_LOG").unwrap_or_else(|_| EnvFilter::new("warn,dlock_core::keeper=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
}
