//! Runs the suite: as tests with names of their own, or for a program that reports in its own way;
//! and proves that its cases can fail.

mod attempt;
mod namespaces;
mod outcome;
mod panics;
mod stop;
mod suite;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use self::attempt::{attempt, block_on};
use self::namespaces::Namespaces;
pub use self::outcome::{Failure, Outcome, Verdict};
pub use self::stop::Stop;
pub use self::suite::{CASES_AT_ONCE, Suite};
use crate::broken::Sound;
use crate::servers::Skip;
use crate::{Case, Flaw, Lab, Subject, cases, worker};

/// Runs all cases on the subject that `make` makes, as tests named `backend::group::case`.
///
/// `make` is also called in the processes that cases start, with the address that the subject gave
/// there. Where there is no service, it answers a [`Skip`].
#[must_use]
pub fn conformance(backend: &str, make: impl Fn(Option<String>) -> Result<Box<dyn Subject>, Skip>) -> ExitCode {
    if let Some(code) = serve_as_worker(|address| make(Some(address))) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    if arguments.list {
        let trials = cases::all().into_iter().map(|case| Trial::test(format!("{backend}::{}", case.name()), || Ok(())));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    let subject: Arc<dyn Subject> = match make(None) {
        Ok(subject) => subject.into(),
        Err(skip) => {
            eprintln!("{skip}");
            let trials = cases::all().into_iter().map(|case| {
                Trial::test(format!("{backend}::{}", case.name()), || Ok(()))
                    .with_kind("skipped")
                    .with_ignored_flag(true)
            });
            return libtest_mimic::run(&arguments, trials.collect()).exit_code();
        }
    };
    let suite = match Suite::connect(subject, Suite::NAMESPACE_PREFIX) {
        Ok(suite) => Arc::new(suite),
        Err(error) => {
            eprintln!("{backend}: the service cannot be reached: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = cases::all().into_iter().map(|case| {
        let missing = suite.missing(&case);
        let suite = suite.clone();
        let trial = Trial::test(format!("{backend}::{}", case.name()), move || Ok(suite.attempt(case, &Stop::new())?));
        match missing {
            Some(need) => trial.with_kind(format!("not offered: {need}")).with_ignored_flag(true),
            None => trial,
        }
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Err(error) = suite.wipe() {
        eprintln!("{backend}: keys of the tests may be left: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Proves that every case trips on the flaw it names, on the subject that `make` makes for it. With
/// `--nocapture` it tells how. A case that needs a [deployment](crate::Deployment) of its own must
/// also pass there without its flaw, since the subject is likely to be made for this only.
#[must_use]
pub fn broken(make: impl Fn(&Case, Option<String>) -> Box<dyn Subject>) -> ExitCode {
    let make_worker = |case: Option<&Case>, address| {
        Ok(make(case.expect("a worker of a flawed lab is told the case"), Some(address)))
    };
    if let Some(code) = serve_as_flawed_worker::<Skip>(make_worker) {
        return code;
    }
    // Failing is the point here: thousands of lines of panics would hide what matters.
    std::panic::set_hook(Box::new(|_| {}));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    let show = arguments.nocapture;
    let namespaces = Namespaces::new(Suite::NAMESPACE_PREFIX).expect("the default can be used");
    let trials = cases::all().into_iter().map(|case| {
        let subject: Arc<dyn Subject> = make(&case, None).into();
        let namespace = namespaces.one_more();
        let other = namespaces.one_more();
        Trial::test(format!("broken::{}", case.name()), move || {
            let lab = block_on(Lab::open(subject.clone(), namespace))?;
            if let Some(need) = case.missing(lab.info(), &*subject) {
                return Err(format!("the subject for this proof does not offer {need}").into());
            }
            if case.is_alone() {
                // No suite runs on such a subject: that it serves must be proved here.
                let sound = block_on(Lab::open(subject.clone(), other))?;
                if let Err(failure) = attempt(case, sound, &Stop::new()) {
                    return Err(format!("the case fails without a flaw: {}", failure.message).into());
                }
            }
            match attempt(case, lab.flawed_for(&case), &Stop::new()) {
                Ok(()) => Err(format!("the case passes on a backend that is broken by {:?}", (case.flaw)()).into()),
                Err(failure) if show => {
                    println!("{} trips: {}", case.name(), failure.message);
                    Ok(())
                }
                Err(_) => Ok(()),
            }
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if !arguments.list {
        let tried = conclusion.num_passed + conclusion.num_failed;
        println!("broken backends caught: {} of {tried}", conclusion.num_passed);
    }
    conclusion.exit_code()
}

/// Where a case started this program again as another client of the service, this is that client:
/// serves until it is not needed any more, and answers how to exit.
///
/// A program that runs the suite calls this before anything else, and hands over how a subject is
/// made from the [address](Subject::address) that its own gave. `None` means that it was started
/// for something else.
#[must_use]
pub fn serve_as_worker<E: std::fmt::Display>(make: impl Fn(String) -> Result<Box<dyn Subject>, E>) -> Option<ExitCode> {
    serve_as_flawed_worker(|_case, address| make(address))
}

fn serve_as_flawed_worker<E: std::fmt::Display>(
    make: impl Fn(Option<&Case>, String) -> Result<Box<dyn Subject>, E>,
) -> Option<ExitCode> {
    let address = std::env::var(worker::ADDRESS).ok()?;
    let flawed = std::env::var(worker::FLAWED_CASE).ok();
    let case = flawed.and_then(|name| cases::all().into_iter().find(|case| case.name() == name));
    let flaw = case.map_or_else(|| Arc::new(Sound) as Arc<dyn Flaw>, |case| (case.flaw)());
    let served = match make(case.as_ref(), address) {
        Ok(subject) => worker::serve(&*subject, flaw).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    })
}
