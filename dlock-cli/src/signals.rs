use std::fs;
use std::future::poll_fn;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::exit::{Exit, Failure};

/// The signals that ask a program to end or to do something, as they come in.
///
/// One that was ignored when `dlock` started (by `nohup`, or by a shell for its background jobs) is
/// left alone, so that the job inherits that.
pub(crate) struct Signals(Vec<(Signal, Stream)>);

const CAUGHT: [Signal; 6] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

impl Signals {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let ignored = ignored();
        let caught = CAUGHT.into_iter().filter(|caught| ignored & mask(*caught) == 0);
        let streams = caught.map(|caught| Ok((caught, signal(SignalKind::from_raw(caught.as_raw()))?)));
        let streams: Result<_, std::io::Error> = streams.collect();
        streams.map(Self).map_err(|error| Failure::new(Exit::Internal, format!("cannot catch signals: {error}")))
    }

    /// The next one that comes in. Nothing is missed between two calls.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (caught, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*caught);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The mask of ignored signals: `SigIgn` of proc(5). Elsewhere than on Linux none is known.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn mask(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}
