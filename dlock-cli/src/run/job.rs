use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use dlock::{Guard, Loss};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::text::say;

/// How long a job has to end by itself after its lock was lost.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the job while `guard` holds, passing signals on to it, and ends it when the hold is lost.
pub(crate) async fn run(guard: &Guard, command: &[OsString], signals: &mut Signals) -> Result<Exit, Failure> {
    let mut child = start(guard, command).await?;
    loop {
        tokio::select! {
            biased;
            loss = guard.lost() => return end(guard, loss, &mut child).await,
            status = child.wait() => return ended(status),
            signal = signals.next() => {
                if !came_from_the_terminal(signal) {
                    send(&child, signal);
                }
            }
        }
    }
}

/// Starts the job. Where claims live by a descriptor, the job gets a copy of it, so that the claim
/// outlives this process for as long as the job does.
async fn start(guard: &Guard, command: &[OsString]) -> Result<Child, Failure> {
    let lifeline = guard.lifeline().await?;
    let token = guard.token()?;
    let claim = guard.lease()?.claim;
    if let Some(lifeline) = &lifeline {
        fcntl_setfd(lifeline, FdFlags::empty())
            .map_err(|error| Failure::new(Exit::Internal, format!("the job cannot inherit the lock: {error}")))?;
    }
    Command::new(&command[0])
        .args(&command[1..])
        .env("DLOCK_NAME", guard.name().as_str())
        .env("DLOCK_TOKEN", token.value.to_string())
        .env("DLOCK_EPOCH", token.epoch.to_string())
        .env("DLOCK_OWNER", claim.to_string())
        .spawn()
        .map_err(|error| not_started(&command[0], &error))
}

/// Ends the job of a hold that is lost.
async fn end(guard: &Guard, loss: Loss, child: &mut Child) -> Result<Exit, Failure> {
    let name = guard.name();
    say(format_args!("lost {name}: {loss}; ending the job"));
    send(child, Signal::TERM);
    let how = tokio::select! {
        _ = child.wait() => "the job has ended",
        () = sleep(GRACE) => {
            send(child, Signal::KILL);
            let _ = child.wait().await;
            "the job did not end and was killed"
        }
    };
    Err(Failure::new(Exit::Lost, format!("lost {name} while the job ran: {how}")))
}

fn ended(status: io::Result<ExitStatus>) -> Result<Exit, Failure> {
    status.map(Exit::of_job).map_err(|error| Failure::new(Exit::Internal, format!("cannot wait for the job: {error}")))
}

fn not_started(program: &OsString, error: &io::Error) -> Failure {
    // The system says of a script without its interpreter, too, that there is no such file.
    let is_there = Path::new(program).components().count() > 1 && Path::new(program).exists();
    let program = program.display();
    match error.kind() {
        io::ErrorKind::NotFound if is_there => {
            let message = format!("{program}: cannot be executed: its interpreter is not found; check its first line");
            Failure::new(Exit::NotExecutable, message)
        }
        io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("{program}: command not found")),
        _ => Failure::new(Exit::NotExecutable, format!("{program}: cannot be executed: {error}")),
    }
}

/// Whether the terminal has sent the signal to the job as well: it sends those of its keys to the
/// whole foreground process group, which the job belongs to when `dlock` does. Many programs take a
/// second one as an order to drop everything.
fn came_from_the_terminal(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::QUIT)
        && File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}

fn send(child: &Child, signal: Signal) {
    // A job that has just ended needs no signal any more.
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, signal);
    }
}
