//! The report for build servers.

use std::fs::File;
use std::path::PathBuf;

use dlock_testkit::harness::{Outcome, Suite, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::console::proves;
use super::target::Target;
use crate::exit::{Exit, Failure};

/// A file that a report will be written to.
pub(super) struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    /// Made before the run: who asked for a report is told at once when there will be none.
    pub(super) fn create(path: PathBuf) -> Result<Self, Failure> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => Err(Failure::new(Exit::Usage, format!("cannot write {}: {error}", path.display()))),
        }
    }

    pub(super) fn write(self, suite: &Suite, target: &Target, outcomes: &[Outcome]) -> Result<(), Failure> {
        let report = report(suite, target, outcomes);
        report
            .serialize(&self.file)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot write {}: {error}", self.path.display())))
    }
}

fn report(suite: &Suite, target: &Target, outcomes: &[Outcome]) -> Report {
    let backend = suite.info().scheme;
    let mut cases = TestSuite::new(backend);
    cases.add_property(("dlock", env!("CARGO_PKG_VERSION")));
    cases.add_property(("backend", backend));
    cases.add_property(("url", target.shown()));
    if let Some(version) = suite.version() {
        cases.add_property(("service", version));
    }
    cases.add_test_cases(outcomes.iter().map(|outcome| test_case(backend, outcome)));
    let mut report = Report::new("dlock conformance");
    report.add_test_suite(cases);
    report
}

fn test_case(backend: &str, outcome: &Outcome) -> TestCase {
    let skipped = |why: String| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(why);
        status
    };
    let status = match &outcome.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::NotOffered(need) => skipped(format!("not offered: {need}")),
        Verdict::NotRun => skipped("not run: the run was stopped".to_owned()),
        Verdict::Failed(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(failure.message.lines().next().unwrap_or_default());
            status.set_description(format!("to prove: {}\n{failure}", proves(&outcome.case)));
            status
        }
    };
    let mut case = TestCase::new(outcome.case.slug, status);
    // What stands before the last dot is taken for a package.
    case.set_classname(format!("{backend}.{}", outcome.case.group));
    case.set_time(outcome.took);
    case
}
