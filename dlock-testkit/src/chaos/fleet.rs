//! The worker processes of a run.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlock_core::Clock;

use super::line::Lines;
use super::target::Target;
use super::worker::{VARIABLE, WorkerConfig};
use crate::history::{Recorder, What};
use crate::servers::{Output, Process};

/// How many bytes of a worker's log are shown when it ends by itself.
const LOG_TAIL: usize = 2_000;

/// All workers, each behind lines of its own.
#[derive(Debug)]
pub(super) struct Fleet {
    /// What every worker is told; name, address and seed are each one's own.
    config: WorkerConfig,
    lab: Arc<Recorder>,
    workers: Vec<Worker>,
}

#[derive(Debug)]
pub(super) struct Worker {
    /// Its name in the history.
    pub(super) name: String,
    pub(super) process: Process,
    pub(super) lines: Lines,
    address: String,
    /// How many came before it in its place.
    predecessors: u64,
}

impl Fleet {
    pub(super) fn start(
        config: WorkerConfig,
        size: usize,
        target: &dyn Target,
        lab: Arc<Recorder>,
    ) -> io::Result<Self> {
        let mut fleet = Self { config, lab, workers: Vec::new() };
        for number in 0..size {
            let lines = Lines::to(&target.servers(), &target.announced())?;
            let address = target.address(&lines.addrs());
            let name = format!("w{number}");
            let process = fleet.launch(&name, &address, number as u64)?;
            fleet.workers.push(Worker { name, process, lines, address, predecessors: 0 });
        }
        Ok(fleet)
    }

    /// The worker that a fault with this random number hits.
    pub(super) fn chosen(&self, choice: u64) -> &Worker {
        &self.workers[self.index(choice)]
    }

    /// Kills the chosen worker. It stands still first, so that the moment is known at which it
    /// believed and did its last: it dies some time after the signal was sent.
    pub(super) fn kill(&self, choice: u64) {
        let worker = self.chosen(choice);
        worker.process.stop();
        let stood_still = Clock::system().now();
        worker.process.kill();
        self.lab.record_at(stood_still, What::Gone { who: worker.name.clone() });
    }

    /// Starts a worker in the place of the chosen one, which has been killed.
    pub(super) fn replace(&mut self, choice: u64) -> io::Result<()> {
        let index = self.index(choice);
        let generation = self.workers[index].predecessors + 1;
        let name = format!("w{index}.{generation}");
        let process = self.launch(&name, &self.workers[index].address, (generation << 32) + index as u64)?;
        let worker = &mut self.workers[index];
        worker.predecessors = generation;
        worker.name = name;
        worker.process = process;
        Ok(())
    }

    /// Returns when all workers write their histories.
    pub(super) async fn until_at_work(&self, bound: Duration) -> io::Result<()> {
        let deadline = Instant::now() + bound;
        let is_at_work = |worker: &Worker| {
            fs::read_to_string(self.config.dir.join(format!("{}.jsonl", worker.name)))
                .is_ok_and(|history| history.contains(r#""event":"ok""#))
        };
        while !self.workers.iter().all(is_at_work) {
            self.check()?;
            if Instant::now() >= deadline {
                return Err(io::Error::other(format!("not all workers hold anything within {bound:?}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// An error when a worker ended by itself.
    pub(super) fn check(&self) -> io::Result<()> {
        let ended = self.workers.iter().find_map(|worker| Some((worker, worker.process.exit_status()?)));
        ended.map_or(Ok(()), |(worker, status)| Err(self.ended(worker, status)))
    }

    /// Asks all workers to finish what they began, and waits for that. Answers those that are not
    /// done within the bound: they are killed, and what they waited for stays pending in the history.
    pub(super) async fn drain(self, bound: Duration) -> io::Result<Vec<String>> {
        self.workers.iter().for_each(|worker| worker.process.terminate());
        let deadline = Instant::now() + bound;
        let is_running = |worker: &&Worker| worker.process.exit_status().is_none();
        while self.workers.iter().any(|worker| is_running(&worker)) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut overstayed = Vec::new();
        for worker in &self.workers {
            match worker.process.exit_status() {
                None => overstayed.push(worker.name.clone()),
                Some(status) if status.success() => {}
                Some(status) => return Err(self.ended(worker, status)),
            }
        }
        Ok(overstayed)
    }

    fn ended(&self, worker: &Worker, status: ExitStatus) -> io::Error {
        let log = fs::read(self.log(&worker.name)).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]);
        io::Error::other(format!("worker {} ended with {status}: {tail}", worker.name))
    }

    fn launch(&self, name: &str, address: &str, salt: u64) -> io::Result<Process> {
        let config = WorkerConfig {
            process: name.to_owned(),
            address: address.to_owned(),
            seed: self.config.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ..self.config.clone()
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.env(VARIABLE, serde_json::to_string(&config)?);
        Process::spawn(&command, Output::File(File::options().create(true).append(true).open(self.log(name))?))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.config.dir.join(format!("{name}.log"))
    }

    fn index(&self, choice: u64) -> usize {
        usize::try_from(choice % self.workers.len() as u64).expect("an index of a Vec")
    }
}
