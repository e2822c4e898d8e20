//! Several workers share a table of jobs in SQLite. Each job is done once, by whoever holds its lock,
//! and each write to the table is fenced by the lock's token.
//!
//! The program does not know what the locks are kept in:
//!
//! ```text
//! cargo run -p dlock-rs --example job_table -- --backend memory:
//! cargo run -p dlock-rs --example job_table -- --backend file:///tmp/job-locks --crash
//! cargo run -p dlock-rs --example job_table --features redis -- --backend 'redis://localhost?ttl=3s' --crash
//! cargo run -p dlock-rs --example job_table --features etcd -- --backend etcd://localhost --jobs 40 --workers 4
//! ```
//!
//! Workers are processes, or tasks where locks are not shared by processes. At the end the program
//! checks what they did, and fails unless every job was done exactly once, with tokens in order.

mod check;
mod options;
mod table;
mod worker;

use std::error::Error;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use dlock::{Capability, Locks};
use tokio::process::Command;

use crate::options::Options;
use crate::table::Table;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => run(options).await,
        Err(problem) => Err(format!("{problem}\n{}", options::USAGE).into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("job_table: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let locks = dlock::builder(&options.backend)?.label(options.label()).connect().await?;
    match options.worker {
        Some(worker) => worker::work(&locks, Table::open(&options.database)?, worker, options.crash).await?,
        None => oversee(&locks, &options).await?,
    }
    locks.close().await?;
    Ok(())
}

/// Fills the table, lets the workers empty it, and checks what they did.
async fn oversee(locks: &Locks, options: &Options) -> Result<()> {
    let started = Instant::now();
    let mut table = Table::create(&options.database, options.jobs)?;
    let has_processes = locks.info().capabilities.has(Capability::CrossProcess);
    let workers = if has_processes { "processes" } else { "tasks" };
    println!(
        "{} jobs for {} worker {workers}, locked on {}, in {}",
        options.jobs,
        options.workers,
        locks.info().scheme,
        options.database.display()
    );
    if has_processes {
        start_processes(options).await?
    } else {
        start_tasks(locks, options).await?
    }
    let account = check::check(&mut table)?;
    print!("{account}");
    println!("all done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

async fn start_tasks(locks: &Locks, options: &Options) -> Result<()> {
    let mut tasks = Vec::new();
    for worker in 0..options.workers {
        let (locks, table) = (locks.clone(), Table::open(&options.database)?);
        tasks.push(tokio::spawn(async move { worker::work(&locks, table, worker, false).await }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Runs this program once for each worker. With `--crash`, the first is to die at its first job.
async fn start_processes(options: &Options) -> Result<()> {
    let mut workers = Vec::new();
    for worker in 0..options.workers {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(options.for_worker(worker)).stdin(Stdio::null()).kill_on_drop(true);
        workers.push((worker, command.spawn()?));
    }
    for (worker, mut process) in workers {
        let status = process.wait().await?;
        let is_meant_to_crash = options.crash && worker == 0;
        if status.success() == is_meant_to_crash {
            return Err(format!("worker {worker} ended with {status}").into());
        }
    }
    Ok(())
}
