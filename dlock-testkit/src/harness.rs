//! Runs the suite as tests with names of their own, and proves that its cases can fail.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::broken::Sound;
use crate::servers::Skip;
use crate::{Case, Flaw, Lab, Subject, cases, worker};

/// How many cases run at once: most of them wait.
const CASES_AT_ONCE: usize = 12;

/// No case takes longer than this, its own bounds included.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs all cases on the subject that `make` makes, as tests named `backend::group::case`.
///
/// `make` is also called in the processes that cases start, with the address that the subject gave
/// there. Where there is no service, it answers a [`Skip`].
#[must_use]
pub fn conformance(backend: &str, make: impl Fn(Option<String>) -> Result<Box<dyn Subject>, Skip>) -> ExitCode {
    if let Some(code) = serve_as_worker(|_case, address| make(address)) {
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
    let info = match block_on(Lab::open(subject.clone())) {
        Ok(lab) => lab.info().clone(),
        Err(error) => {
            eprintln!("{backend}: the service cannot be reached: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = cases::all().into_iter().map(|case| {
        let subject = subject.clone();
        let missing = case.missing(&info, &*subject);
        let trial =
            Trial::test(format!("{backend}::{}", case.name()), move || try_case(case, block_on(Lab::open(subject))?));
        match missing {
            Some(need) => trial.with_kind(format!("not offered: {need}")).with_ignored_flag(true),
            None => trial,
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Proves that every case trips on the flaw it names, on the subject that `make` makes for it. With
/// `--nocapture` it tells how.
#[must_use]
pub fn broken(make: impl Fn(&Case, Option<String>) -> Box<dyn Subject>) -> ExitCode {
    let make_worker =
        |case: Option<&Case>, address| Ok(make(case.expect("a worker of a flawed lab is told the case"), address));
    if let Some(code) = serve_as_worker(make_worker) {
        return code;
    }
    // Failing is the point here: thousands of lines of panics would hide what matters.
    std::panic::set_hook(Box::new(|_| {}));
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    let show = arguments.nocapture;
    let trials = cases::all().into_iter().map(|case| {
        let subject: Arc<dyn Subject> = make(&case, None).into();
        Trial::test(format!("broken::{}", case.name()), move || {
            let lab = block_on(Lab::open(subject.clone()))?;
            if let Some(need) = case.missing(lab.info(), &*subject) {
                return Err(format!("the subject for this proof does not offer {need}").into());
            }
            match try_case(case, lab.flawed_for(&case)) {
                Ok(()) => Err(format!("the case passes on a backend that is broken by {:?}", (case.flaw)()).into()),
                Err(failed) if show => {
                    println!("{} trips: {}", case.name(), failed.message().unwrap_or_default());
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

fn try_case(case: Case, lab: Lab) -> Result<(), Failed> {
    let tried = block_on(async move {
        let run =
            tokio::spawn((case.run)(Arc::new(lab))).map(|ended| ended.map_err(|panic| message(panic.into_panic())));
        tokio::time::timeout(LIMIT, run)
            .await
            .unwrap_or_else(|_| Err(format!("not done after {LIMIT:?}")))
            .map_err(Failed::from)
    });
    tried.map_err(|failed: Failed| Failed::from(failed.message().unwrap_or("the case failed").to_owned()))
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Where a case started this program as another client of the service, it is that client.
fn serve_as_worker(make: impl Fn(Option<&Case>, Option<String>) -> Result<Box<dyn Subject>, Skip>) -> Option<ExitCode> {
    let address = std::env::var(worker::ADDRESS).ok()?;
    let flawed = std::env::var(worker::FLAWED_CASE).ok();
    let case = flawed.and_then(|name| cases::all().into_iter().find(|case| case.name() == name));
    let flaw = case.map_or_else(|| Arc::new(Sound) as Arc<dyn Flaw>, |case| (case.flaw)());
    let served = match make(case.as_ref(), Some(address)) {
        Ok(subject) => worker::serve(&*subject, flaw),
        Err(skip) => {
            eprintln!("{skip}");
            return Some(ExitCode::FAILURE);
        }
    };
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a test has a runtime");
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    output
}
