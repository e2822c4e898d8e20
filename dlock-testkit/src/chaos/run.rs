//! One run: clients at work, faults by plan, healing, and the last look into the store.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Clock, Connect, LockName, Locks, NamePrefix, Namespace, Page};
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::target::{Aim, Aimed, Target};
use super::{Plan, Resource, Step, WorkerConfig};
use crate::history::{FaultInfo, Recorder, What};

/// How long servers and workers may take, besides ttls, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the history is written: a directory that is new or empty.
    pub dir: PathBuf,
    /// Decides the faults and what clients do.
    pub seed: u64,
    /// How many faults.
    pub faults: u64,
    /// Only faults of these kinds; all that there are, if it is empty.
    pub only: Vec<String>,
    /// How many worker processes.
    pub workers: usize,
    /// How many owners each of them has.
    pub owners: usize,
    /// How many names they contend for.
    pub names: usize,
    /// The ttl of their claims.
    pub ttl: Duration,
    /// How much longer than its ttl the claim of a dead client may stay.
    pub grace: Duration,
    /// Which lock the workers use: see [`WorkerConfig::locker`].
    pub locker: String,
    /// The defect planted into it: see [`WorkerConfig::planted`].
    pub planted: Option<String>,
    /// How to run it again.
    pub command: String,
}

/// A run that is about to begin.
#[derive(Debug)]
pub struct Run<'a> {
    settings: Settings,
    target: &'a dyn Target,
    plan: Plan,
    namespace: Namespace,
    names: Vec<LockName>,
    lab: Arc<Recorder>,
}

impl<'a> Run<'a> {
    /// Plans a run against servers that are up.
    ///
    /// # Errors
    /// When the history cannot be written, and as [`Run::plan`].
    pub fn new(settings: Settings, target: &'a dyn Target) -> io::Result<Self> {
        let plan = Self::plan(&settings, target)?;
        let namespace = "chaos".parse().expect("a namespace");
        let names = (0..settings.names).map(|number| format!("n{number}").parse().expect("a name"));
        let lab = Arc::new(Recorder::open(&settings.dir, "lab")?);
        let names = names.collect();
        Ok(Self { settings, target, plan, namespace, names, lab })
    }

    /// The faults of a run with these settings.
    ///
    /// # Errors
    /// When it is to have a kind of fault that this store cannot have.
    pub fn plan(settings: &Settings, target: &dyn Target) -> io::Result<Plan> {
        let mut kinds = Plan::common_kinds(!target.servers().is_empty());
        kinds.extend(target.kinds());
        let is_there = |name: &&String| kinds.iter().any(|kind| kind.name == **name);
        if let Some(unknown) = settings.only.iter().find(|name| !is_there(name)) {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
            let why = format!("{} has no fault {unknown:?}: choose of {}", target.store(), names.join(", "));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        kinds.retain(|kind| settings.only.is_empty() || settings.only.iter().any(|name| name == kind.name));
        Ok(Plan::new(settings.seed, settings.faults, &kinds))
    }

    /// Carries it out. `progress` hears of each fault before it begins. Answers the workers that did
    /// not end when they were asked to; those that waited in vain are in the history too.
    ///
    /// # Errors
    /// When the run could not be carried to its end: a worker died of itself, a file could not be
    /// written. What is wrong with the lock is in the history, not here.
    ///
    /// # Cancel safety
    /// Not safe: a run that is dropped has no end in its history. Processes are ended.
    pub async fn execute(self, mut progress: impl FnMut(&Step)) -> io::Result<Vec<String>> {
        let Settings { seed, ref command, ref dir, ttl, .. } = self.settings;
        let store = self.target.store().to_owned();
        self.lab.record(What::About { store, seed, command: command.clone() });
        let resource = Resource::start(Recorder::open(dir, "resource")?, ttl).await?;
        let mut fleet =
            Fleet::start(self.worker_config(&resource), self.settings.workers, self.target, self.lab.clone())?;
        fleet.until_at_work(PATIENCE).await?;
        for step in &self.plan.steps {
            progress(step);
            self.inflict(step, &mut fleet).await?;
            fleet.check()?;
            sleep(Duration::from_millis(step.pause_ms)).await;
        }
        self.lab.record(What::Healed);
        sleep(self.takeover() * 2).await;
        fleet.check()?;
        let overstayed = fleet.drain(PATIENCE + self.takeover() * 2).await?;
        self.scan().await?;
        Ok(overstayed)
    }

    fn worker_config(&self, resource: &Resource) -> WorkerConfig {
        let settings = &self.settings;
        WorkerConfig {
            process: String::new(),
            dir: settings.dir.clone(),
            address: String::new(),
            resource: resource.addr(),
            namespace: self.namespace.to_string(),
            ttl: settings.ttl,
            owners: settings.owners,
            names: self.names.iter().map(ToString::to_string).collect(),
            seed: settings.seed,
            locker: settings.locker.clone(),
            planted: settings.planted.clone(),
        }
    }

    async fn inflict(&self, step: &Step, fleet: &mut Fleet) -> io::Result<()> {
        let Step { kind, choice, fault, .. } = *step;
        let name = &self.names[usize::try_from(choice % self.names.len() as u64).expect("an index of a Vec")];
        let aimed = Aimed { kind, choice, namespace: self.namespace.clone(), name: name.clone() };
        let lasts = self.settings.ttl.mul_f64(step.ttls);
        let begun = Clock::system().now();
        let worker = || Some(fleet.chosen(choice).name.clone());
        let (target, worker, name) = match kind.aim {
            Aim::StopWorker | Aim::KillWorker | Aim::Lines(_) => (worker().unwrap_or_default(), worker(), None),
            Aim::Name => (name.to_string(), None, Some(name.to_string())),
            Aim::Servers | Aim::ServersOnce => (String::new(), None, None),
        };
        let began = match kind.aim {
            Aim::StopWorker => {
                fleet.chosen(choice).process.stop();
                None
            }
            Aim::KillWorker => {
                fleet.kill(choice);
                None
            }
            Aim::Lines(line) => {
                let delay = self.settings.ttl.mul_f64(0.3 + (choice % 64) as f64 / 90.0);
                fleet.chosen(choice).lines.spoil(line, delay);
                None
            }
            Aim::Servers | Aim::ServersOnce | Aim::Name => Some(self.target.begin(&aimed).await),
        };
        let breaks_exclusion_for = kind.breaks_exclusion.then(|| nanos(self.settings.ttl + self.settings.grace));
        let target = began.unwrap_or(target);
        let info = FaultInfo {
            fault,
            kind: kind.name.to_owned(),
            target,
            worker,
            name,
            breaks_exclusion_for,
            takes_history: kind.takes_history,
        };
        self.lab.record_at(begun, What::FaultBegun(info));

        if kind.aim != Aim::ServersOnce {
            sleep(lasts).await;
        }
        match kind.aim {
            Aim::StopWorker => fleet.chosen(choice).process.resume(),
            Aim::KillWorker => fleet.replace(choice)?,
            Aim::Lines(_) => fleet.chosen(choice).lines.heal(),
            Aim::Servers | Aim::Name => self.target.end(&aimed).await,
            Aim::ServersOnce => {}
        }
        self.lab.record(What::FaultEnded { fault });
        Ok(())
    }

    /// Looks until nothing is left, or until it is sure that something stays.
    async fn scan(&self) -> io::Result<()> {
        let locks = connect(|| self.target.client(), &self.namespace).await.map_err(io::Error::other)?;
        let deadline = Instant::now() + self.takeover() * 2 + Duration::from_secs(10);
        let (claims, entries) = loop {
            let is_over = Instant::now() > deadline;
            match claims(&locks).await {
                Ok(claims) => {
                    let entries = self.target.entries(&self.namespace).await;
                    let nothing = claims == 0 && entries.is_none_or(|entries| entries == 0);
                    if nothing || is_over {
                        break (claims, entries);
                    }
                }
                Err(error) if error.is_retryable() && !is_over => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            sleep(Duration::from_millis(50)).await;
        };
        self.lab.record(What::Scanned { claims, entries });
        locks.close().await.map_err(io::Error::other)
    }

    fn takeover(&self) -> Duration {
        self.settings.ttl + self.settings.grace
    }
}

/// Connects a client of the lab's own, which may take several attempts: servers that have just
/// started, or changed places, answer late on a busy machine.
///
/// # Errors
/// The last one, after a minute, or the first that is not worth another attempt.
///
/// # Cancel safety
/// Safe: what is connected by then is closed.
pub async fn connect(client: impl Fn() -> Box<dyn Connect>, namespace: &Namespace) -> dlock_core::Result<Locks> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Locks::builder(client()).namespace(namespace.clone()).connect().await {
            Err(error) if error.is_retryable() && Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            connected => return connected,
        }
    }
}

/// How many claims and damaged entries the store shows.
async fn claims(locks: &Locks) -> dlock_core::Result<u64> {
    let mut count = 0;
    let mut page = Some(Page::first());
    while let Some(this) = page {
        let found = locks.list(NamePrefix::root(), this).await?;
        for name in &found.names {
            let state = locks.inspect(name.clone()).await?;
            count += (state.holders.len() + state.waiters.len() + state.damaged.len()) as u64;
        }
        page = found.cursor.map(|cursor| Page { cursor: Some(cursor), ..Page::first() });
    }
    Ok(count)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
