//! `dlock conformance`: whether a lock service keeps what dlock promises.

mod console;
mod junit;
mod proof;
mod selection;
mod target;

use std::process::ExitCode;
use std::thread;

use dlock_testkit::harness::{self, Stop};
use dlock_testkit::stores;
use tokio::sync::oneshot;

use self::console::Console;
use self::proof::Proof;
use crate::args::ConformanceArgs;
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::text::say;

/// Where a case has started `dlock` as another client of the service, this is that client.
pub(crate) fn serve_as_worker() -> Option<ExitCode> {
    harness::serve_as_worker(|url| stores::open(&url))
}

pub(crate) async fn prove(args: ConformanceArgs) -> Result<Exit, Failure> {
    let cases = selection::selected(&args.filters, args.exact)?;
    let console = Console::on_stdout();
    if args.list {
        console.list(&cases);
        return Ok(Exit::Done);
    }
    let mut signals = Signals::catch()?;
    let proof = Proof::prepare(args, cases, console)?;
    let stop = Stop::new();
    let (sender, mut done) = oneshot::channel();
    let stopped = stop.clone();
    // No thread of the runtime, which would wait for it when a second signal comes.
    thread::spawn(move || sender.send(proof.run(&stopped)));
    let ended = tokio::select! {
        ended = &mut done => ended,
        signal = signals.next() => {
            say("ending the run and cleaning up; once more to end it at once");
            stop.stop();
            tokio::select! {
                ended = &mut done => ended.map(|ended| ended.map(|_| Exit::by_signal(signal))),
                signal = signals.next() => Ok(Ok(Exit::by_signal(signal))),
            }
        }
    };
    ended.unwrap_or_else(|_| Err(Failure::new(Exit::Internal, "the run ended in a panic")))
}
