//! A worker process of a chaos run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Result};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Locker;
use super::owner::Owner;
use crate::history::Recorder;

/// Set in the environment of a worker: its [`WorkerConfig`].
pub(super) const VARIABLE: &str = "DLOCK_CHAOS_WORKER";

/// How long a worker waits before it tries again to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What a worker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// Its name in the history.
    pub process: String,
    /// Where the history is written.
    pub dir: PathBuf,
    /// Where the store is.
    pub address: String,
    /// Where the resource is.
    pub resource: SocketAddr,
    /// The namespace of the run.
    pub namespace: String,
    /// The ttl of its claims.
    pub ttl: Duration,
    /// How many owners it has.
    pub owners: usize,
    /// What they lock.
    pub names: Vec<String>,
    /// Decides what they do.
    pub seed: u64,
    /// Which lock they use, as the program that runs the worker understands it.
    pub locker: String,
    /// The defect that is planted into it, by its name.
    pub planted: Option<String>,
}

/// Where this process was started as a worker, it is that worker: `connect` makes its client.
///
/// On SIGTERM it begins nothing new, waits until what it began is done, and ends.
#[must_use]
pub fn serve_as_worker<F, Fut>(connect: F) -> Option<ExitCode>
where
    F: Fn(WorkerConfig) -> Fut,
    Fut: Future<Output = Result<Arc<dyn Locker>>>,
{
    let config = std::env::var(VARIABLE).ok()?;
    let config: WorkerConfig = serde_json::from_str(&config).expect("the lab writes what a worker reads");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a worker has a runtime");
    Some(runtime.block_on(work(config, connect)))
}

async fn work<F, Fut>(config: WorkerConfig, connect: F) -> ExitCode
where
    F: Fn(WorkerConfig) -> Fut,
    Fut: Future<Output = Result<Arc<dyn Locker>>>,
{
    let (drain, draining) = watch::channel(false);
    let mut terminated = signal(SignalKind::terminate()).expect("a worker can listen for signals");
    tokio::spawn(async move {
        terminated.recv().await;
        let _ = drain.send(true);
    });

    let recorder = Arc::new(Recorder::open(&config.dir, &config.process).expect("the history can be written"));
    let locker = loop {
        match connect(config.clone()).await {
            Ok(locker) => break locker,
            Err(error) if is_for_a_while(&error) && !*draining.borrow() => tokio::time::sleep(RECONNECT_PAUSE).await,
            Err(error) => {
                eprintln!("{}: {error}", config.process);
                return ExitCode::FAILURE;
            }
        }
    };
    let ops = Arc::new(AtomicU64::new(0));
    let mut random = Rng::with_seed(config.seed);
    let mut owners = JoinSet::new();
    for number in 0..config.owners {
        let owner = Owner {
            label: format!("{}.o{number}", config.process),
            locker: locker.clone(),
            recorder: recorder.clone(),
            ops: ops.clone(),
            names: config.names.clone(),
            random: random.fork(),
            ttl: config.ttl,
            draining: draining.clone(),
        };
        owners.spawn(owner.work(config.resource));
    }
    owners.join_all().await;
    match locker.close().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: closing: {error}", config.process);
            ExitCode::SUCCESS
        }
    }
}

/// A fault may take the rights of workers, for as long as it lasts.
fn is_for_a_while(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Denied
}
