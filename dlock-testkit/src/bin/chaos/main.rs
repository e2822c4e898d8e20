//! Runs a store under faults, checks the history and draws it.

mod stores;
mod worker;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dlock_testkit::chaos::{self, Run, Settings};

use crate::stores::Store;

#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(long, value_enum)]
    store: Store,
    /// Decides the faults, and what the clients do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many faults.
    #[arg(long, default_value_t = 200)]
    faults: u64,
    /// Where the history is written.
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> ExitCode {
    if let Some(code) = chaos::serve_as_worker(worker::connect) {
        return code;
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    match runtime.block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    let Arguments { store, seed, faults, dir } = arguments;
    let deployment = store.deploy().await;
    let locks = dlock_core::Locks::builder(deployment.client()).connect().await.map_err(io::Error::other)?;
    let grace = locks.info().grace;
    locks.close().await.map_err(io::Error::other)?;
    let settings = Settings {
        dir, seed, faults, workers: 5, owners: 4, names: 3, ttl: store.ttl(), grace,
        locker: "dlock".into(), planted: None, command: String::new(),
    };
    let run = Run::new(settings, &*deployment)?;
    run.execute(|step| eprintln!("{} {} {:.2} ttl", step.fault, step.kind.name, step.ttls)).await
}
