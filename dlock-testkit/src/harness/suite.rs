//! A run of the suite for a program that reports in its own way.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dlock_core::{BackendInfo, Error, ErrorKind, Result};

use super::attempt::{attempt, block_on};
use super::namespaces::Namespaces;
use super::outcome::{Failure, Outcome, Verdict};
use super::{Stop, panics};
use crate::{Case, Lab, Need, Subject};

/// How many cases run at once unless told otherwise: most of them wait most of the time.
pub const CASES_AT_ONCE: usize = 12;

/// How long the service may take to clean up.
const WIPING: Duration = Duration::from_secs(60);

/// How often cleaning up is tried.
const WIPES: usize = 6;

/// The suite on one subject. Its methods block, and must not be called where that does harm.
///
/// ```
/// use std::sync::Arc;
///
/// use dlock_testkit::harness::{Stop, Suite, Verdict};
/// use dlock_testkit::{MemorySubject, cases};
///
/// let suite = Suite::connect(Arc::new(MemorySubject::new()), Suite::NAMESPACE_PREFIX)?;
/// let few = cases::all().into_iter().filter(|case| case.group == "semaphore").collect();
/// let outcomes = suite.run(few, 4, &Stop::new(), |outcome| println!("{}", outcome.case.name()));
/// suite.wipe()?;
/// assert!(outcomes.iter().all(|outcome| matches!(outcome.verdict, Verdict::Passed | Verdict::NotOffered(_))));
/// # Ok::<(), dlock_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Suite {
    subject: Arc<dyn Subject>,
    namespaces: Namespaces,
    info: BackendInfo,
    version: Option<String>,
}

impl Suite {
    /// What namespaces of cases begin with unless told otherwise.
    pub const NAMESPACE_PREFIX: &'static str = "t-";

    /// Reaches the service. Cases will work in namespaces that begin with `namespace_prefix`.
    ///
    /// # Errors
    /// `InvalidInput` for a prefix that no namespace can begin with, and all that connecting to
    /// the service may fail with.
    pub fn connect(subject: Arc<dyn Subject>, namespace_prefix: &str) -> Result<Self> {
        let namespaces = Namespaces::new(namespace_prefix)?;
        let (info, version) = block_on(async {
            let lab = Lab::open(subject.clone(), namespaces.one_more()).await?;
            Ok::<_, Error>((lab.info().clone(), subject.version().await))
        })?;
        Ok(Self { subject, namespaces, info, version })
    }

    /// What the backend declares.
    #[must_use]
    pub fn info(&self) -> &BackendInfo {
        &self.info
    }

    /// What the service calls itself, with its version, where it says.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What the case needs and is not offered; `None` when it can be tried.
    #[must_use]
    pub fn missing(&self, case: &Case) -> Option<Need> {
        case.missing(&self.info, &*self.subject)
    }

    /// Tries `cases`, `at_once` at a time, and answers what came of them, in their order.
    /// `on_end` is called on this thread with each as it ends.
    ///
    /// It makes panics in cases silent, for the rest of the process: they are in the outcomes.
    pub fn run(&self, cases: Vec<Case>, at_once: usize, stop: &Stop, mut on_end: impl FnMut(&Outcome)) -> Vec<Outcome> {
        panics::are_reported_later();
        let mut ended: Vec<Option<Outcome>> = vec![None; cases.len()];
        let queue = Mutex::new(cases.into_iter().enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let (outcomes, inbox) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..at_once.clamp(1, ended.len().max(1)) {
                let outcomes = outcomes.clone();
                scope.spawn(move || {
                    while let Some((place, case)) = next() {
                        // Nobody listens any more where `on_end` has panicked.
                        let _ = outcomes.send((place, self.outcome(case, stop)));
                    }
                });
            }
            drop(outcomes);
            for (place, outcome) in inbox {
                on_end(&outcome);
                ended[place] = Some(outcome);
            }
        });
        ended.into_iter().flatten().collect()
    }

    /// Removes what the run left on the service: counters, mostly. For the end, when no case runs.
    ///
    /// # Errors
    /// When something may be left: the message says in which namespaces.
    pub fn wipe(&self) -> Result<()> {
        let root = self.namespaces.root();
        let wiped = block_on(async { tokio::time::timeout(WIPING, self.wipe_until_done(root)).await });
        let wiped = wiped.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "the service does not answer")));
        wiped.map_err(|error| error.context(format!("namespaces {root}*")))
    }

    /// A client that a case left to itself may still be about to end, and in the way.
    async fn wipe_until_done(&self, root: &str) -> Result<()> {
        for _ in 1..WIPES {
            if self.subject.wipe(root).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.subject.wipe(root).await
    }

    /// Tries a case that is offered what it needs.
    pub(super) fn attempt(&self, case: Case, stop: &Stop) -> std::result::Result<(), Failure> {
        let lab = block_on(Lab::open(self.subject.clone(), self.namespaces.one_more()));
        attempt(case, lab.map_err(|error| Failure::new(format!("the service cannot be reached: {error}")))?, stop)
    }

    fn outcome(&self, case: Case, stop: &Stop) -> Outcome {
        let begun = Instant::now();
        let verdict = match self.missing(&case) {
            _ if stop.is_stopped() => Verdict::NotRun,
            Some(need) => Verdict::NotOffered(need),
            None => match self.attempt(case, stop) {
                Ok(()) => Verdict::Passed,
                Err(_) if stop.is_stopped() => Verdict::NotRun,
                Err(failure) => Verdict::Failed(failure),
            },
        };
        Outcome { case, verdict, took: begun.elapsed() }
    }
}
