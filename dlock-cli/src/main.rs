//! The `dlock` command: runs a job under a distributed lock, shows who holds one, and proves a
//! lock service.

mod args;
mod backend;
#[cfg(feature = "conformance")]
mod conformance;
mod exit;
mod run;
mod show;
mod signals;
mod text;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};
use crate::text::say;

fn main() -> ExitCode {
    #[cfg(feature = "conformance")]
    if let Some(code) = conformance::serve_as_worker() {
        return code;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(answer) => {
            // Nobody is left to tell when the output is closed.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    start_logging(&args.command);
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
        #[cfg(feature = "conformance")]
        Command::Conformance(args) => conformance::prove(args).await,
        #[cfg(not(feature = "conformance"))]
        Command::Conformance(_) => Err(Failure::new(
            Exit::Usage,
            "the conformance suite is not compiled in: build dlock with the cargo feature \"conformance\"",
        )),
    }
}

/// What the library has to say goes to the standard error, like what `dlock` has to say itself, which
/// includes all that the keeper would warn of.
fn start_logging(command: &Command) {
    let unasked = match command {
        Command::Run(_) | Command::Show(_) => "warn,dlock_core::keeper=error",
        // Cases do what is warned of, on purpose.
        Command::Conformance(_) => "off",
    };
    let filter = EnvFilter::try_from_env("DLOCK_LOG").unwrap_or_else(|_| EnvFilter::new(unasked));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
}
