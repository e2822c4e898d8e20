//! One run, from starting the servers to the report.

use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use dlock_testkit::broken::planted;
use dlock_testkit::chaos::{self, Plan, Run, Settings, Target};
use dlock_testkit::check::Report;

use crate::check;
use crate::command::{NAMES, TrialArguments};
use crate::print;
use crate::stores::Store;
use crate::worker::Locking;

/// The files of a run that is replaced by another in the same directory.
const KINDS_OF_FILES: [&str; 4] = ["jsonl", "log", "json", "html"];

pub(crate) fn run(arguments: TrialArguments) -> io::Result<ExitCode> {
    if arguments.plan {
        print(block_on(plan(&arguments))??)?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = block_on(trial(&arguments))??;
    print(format_args!("{report}  written to {}\n", dir(&arguments).display()))?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs it, judges it and draws it.
pub(crate) async fn trial(arguments: &TrialArguments) -> io::Result<Report> {
    let dir = dir(arguments);
    let _lock = make_room(&dir)?;
    let target = store(arguments).deploy().await;
    let settings = settings(arguments, &*target).await?;
    let faults = settings.faults;
    let run = Run::new(settings, &*target)?;
    let shows_progress = io::stderr().is_terminal();
    let overstayed = run
        .execute(|step| {
            if shows_progress {
                eprint!("\r\x1b[Kfault {} of {faults}: {}", step.fault + 1, step.kind.name);
                let _ = io::stderr().flush();
            }
        })
        .await?;
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    let report = check::judge(&dir)?;
    if report.is_sound() && !overstayed.is_empty() {
        let why = format!("{} did not end when asked to, though nobody waited any more", overstayed.join(", "));
        return Err(io::Error::other(why));
    }
    Ok(report)
}

/// A task may block here: nothing else runs on this runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future))
}

async fn plan(arguments: &TrialArguments) -> io::Result<Plan> {
    let target = store(arguments).deploy().await;
    Run::plan(&settings(arguments, &*target).await?, &*target)
}

async fn settings(arguments: &TrialArguments, target: &dyn Target) -> io::Result<Settings> {
    let namespace = "chaos".parse().expect("a namespace");
    let locks = chaos::connect(|| target.client(), &namespace).await.map_err(io::Error::other)?;
    let grace = locks.info().grace;
    locks.close().await.map_err(io::Error::other)?;
    let store = store(arguments);
    if let Some(bug) = arguments.plant.as_ref().filter(|bug| planted::find(bug).is_none()) {
        let names: Vec<&str> = planted::ALL.iter().map(|planted| planted.name).collect();
        let why = format!("no bug is called {bug:?}: choose of {}", names.join(", "));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(Settings {
        dir: dir(arguments),
        seed: arguments.seed,
        faults: arguments.faults,
        only: arguments.only.clone(),
        workers: 5,
        owners: 4,
        names: arguments.names,
        ttl: store.ttl(),
        grace,
        locker: arguments.lock.name(),
        planted: arguments.plant.clone(),
        command: command(arguments),
    })
}

fn store(arguments: &TrialArguments) -> Store {
    arguments.store.expect("the command line requires it where there is no subcommand")
}

fn dir(arguments: &TrialArguments) -> PathBuf {
    arguments.dir.clone().unwrap_or_else(|| {
        let TrialArguments { seed, lock, plant, .. } = arguments;
        let lock = if *lock == Locking::Dlock { String::new() } else { format!("-{}", lock.name()) };
        let plant = plant.iter().map(|bug| format!("-{bug}")).collect::<String>();
        PathBuf::from("target/chaos").join(format!("{}{lock}{plant}-{seed}", name(store(arguments))))
    })
}

/// How to make the same run again.
fn command(arguments: &TrialArguments) -> String {
    let TrialArguments { seed, faults, names, lock, plant, only, .. } = arguments;
    let store = name(store(arguments));
    let mut command =
        format!("cargo run -p dlock-testkit --bin chaos -- --store {store} --seed {seed} --faults {faults}");
    if *names != NAMES {
        command += &format!(" --names {names}");
    }
    if *lock != Locking::Dlock {
        command += &format!(" --lock {}", lock.name());
    }
    if let Some(bug) = plant {
        command += &format!(" --plant {bug}");
    }
    if !only.is_empty() {
        command += &format!(" --only '{}'", only.join(","));
    }
    command
}

pub(crate) fn name(store: Store) -> String {
    store.to_possible_value().expect("no store is hidden").get_name().to_owned()
}

/// Removes the run that is in the directory, but nothing else. No other run can have the directory
/// for as long as the answer lives.
fn make_room(dir: &Path) -> io::Result<File> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot write to {}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::open(dir).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            let why = format!("another run writes to {} now: choose another --dir", dir.display());
            io::Error::new(io::ErrorKind::ResourceBusy, why)
        }
        TryLockError::Error(error) => failed(error),
    })?;
    let is_run = dir.join("lab.jsonl").is_file();
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry?.path();
        let is_ours = is_run && path.extension().is_some_and(|kind| KINDS_OF_FILES.iter().any(|ours| kind == *ours));
        if !is_ours || !path.is_file() {
            let why =
                format!("{} has {}, which is no part of a run: choose another --dir", dir.display(), path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        files.push(path);
    }
    files.into_iter().try_for_each(fs::remove_file).map_err(failed)?;
    Ok(lock)
}
