//! `dlock run`: a job under a lock.

mod acquiring;
mod job;
mod notice;

use std::mem;
use std::path::Path;
use std::time::Duration;

use dlock::{ErrorKind, Guard, Lock, Locks};

use self::acquiring::Acquired;
use crate::args::RunArgs;
use crate::backend;
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::text::say;

/// For how long the end of a client is waited for when the service does not answer any more.
const PARTING: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let mut signals = Signals::catch()?;
    let mut builder = backend::builder(&args.backend)?;
    if let Some(label) = label(&args) {
        builder = builder.label(label);
    }
    if let Some(ttl) = args.ttl {
        builder = builder.ttl(ttl);
    }
    let locks = tokio::select! {
        locks = backend::connect(builder) => locks?,
        signal = signals.next() => return Ok(Exit::by_signal(signal)),
    };
    let done = run_on(&locks, &args, &mut signals).await;
    part(locks, &mut signals).await;
    done
}

async fn run_on(locks: &Locks, args: &RunArgs, signals: &mut Signals) -> Result<Exit, Failure> {
    let lock = lock(locks, args)?;
    match acquiring::acquire(locks, &lock, args.patience(), signals).await? {
        Acquired::Interrupted(signal) => Ok(Exit::by_signal(signal)),
        Acquired::TimeUp(message) => Err(Failure::new(Exit::NotAcquired, message)),
        Acquired::Held(guard) => {
            let ended = job::run(&guard, &args.command, signals).await;
            release(guard, ended).await
        }
    }
}

/// Ends the hold. When it was lost before, the job may have run beside another, whatever its code.
async fn release(guard: Guard, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
    let name = guard.name().clone();
    match guard.release().await {
        Err(error) if error.kind() == ErrorKind::Lost && ended.is_ok() => Err(error.context(name).into()),
        Err(error) if error.kind() != ErrorKind::Lost => {
            say(format_args!("{name} may stay locked until its ttl is over: {error}"));
            ended
        }
        _ => ended,
    }
}

/// Closes the client, unless the service is slow to answer and the user in a hurry.
async fn part(locks: Locks, signals: &mut Signals) {
    let is_closed = tokio::select! {
        _ = locks.close() => true,
        () = tokio::time::sleep(PARTING) => false,
        _ = signals.next() => false,
    };
    if !is_closed {
        // Dropping it would wait once more.
        mem::forget(locks);
    }
}

fn lock(locks: &Locks, args: &RunArgs) -> Result<Lock, Failure> {
    let name = args.name.as_str();
    Ok(match args.permits {
        Some(permits) => locks.semaphore(name, permits.get())?.as_lock().clone(),
        None if args.shared => locks.rw_lock(name)?.read().clone(),
        None => locks.lock(name)?,
    })
}

/// The label that was asked for, or else the command's name, unless the URL has one.
fn label(args: &RunArgs) -> Option<String> {
    let command = || Path::new(&args.command[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    args.label.clone().or_else(|| (!args.backend.has_label()).then(command))
}
