use std::num::NonZeroUsize;

use dlock_testkit::Case;
use dlock_testkit::harness::{CASES_AT_ONCE, Stop, Suite, Verdict};

use super::console::Console;
use super::junit::ReportFile;
use super::target::Target;
use crate::args::ConformanceArgs;
use crate::backend;
use crate::exit::{Exit, Failure};
use crate::text::say;

/// A run of the suite, with all that was asked for.
pub(super) struct Proof {
    target: Target,
    cases: Vec<Case>,
    at_once: usize,
    namespace_prefix: String,
    console: Console,
    report: Option<ReportFile>,
}

impl Proof {
    /// Checks what was asked for; nothing is connected yet.
    pub(super) fn prepare(args: ConformanceArgs, cases: Vec<Case>, console: Console) -> Result<Self, Failure> {
        let target = Target::open(backend::url(&args.backend)?)?;
        let report = args.junit.map(ReportFile::create).transpose()?;
        let namespace_prefix = args.namespace_prefix.unwrap_or_else(|| Suite::NAMESPACE_PREFIX.to_owned());
        let at_once = args.jobs.map_or(CASES_AT_ONCE, NonZeroUsize::get);
        Ok(Self { target, cases, at_once, namespace_prefix, console, report })
    }

    /// Blocks until all is done and said.
    pub(super) fn run(self, stop: &Stop) -> Result<Exit, Failure> {
        let suite = Suite::connect(self.target.subject(), &self.namespace_prefix)?;
        let count = self.cases.len();
        self.console.begin(suite.version().unwrap_or(suite.info().scheme), self.target.shown(), count);
        let mut place = 0;
        let outcomes = suite.run(self.cases, self.at_once, stop, |outcome| {
            place += 1;
            self.console.outcome(place, count, outcome);
        });
        let wiped = suite.wipe();
        self.console.end(&outcomes);
        if let Some(report) = self.report {
            report.write(&suite, &self.target, &outcomes)?;
        }
        let left = wiped.map_err(|error| error.context("something is left on the service")).map_err(Failure::from);
        if outcomes.iter().any(|outcome| matches!(outcome.verdict, Verdict::Failed(_))) {
            left.unwrap_or_else(|failure| say(failure.message));
            return Ok(Exit::Disproved);
        }
        left.map(|()| Exit::Done)
    }
}
