//! One stream, to one member.

use std::time::Duration;

use dlock_core::{Error, ErrorKind};
use etcd_client::{WatchResponse, WatchStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant as Deadline;

use super::Order;
use super::feeds::Feeds;
use super::writer::{Request, Writer};
use crate::error::{Effect, Failure, Remedy};
use crate::members::Present;
use crate::rpc::Rpc;

/// How often the server is asked for a sign of life on the stream. HTTP/2 pings would do, but a
/// server takes more than one in 5 s for an attack (`--grpc-keepalive-min-time`).
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A stream on which nothing arrived for this long is broken.
const SILENCE: Duration = Duration::from_secs(5);

/// One stream, and who watches on it.
pub(super) struct Line<'a> {
    pub(super) rpc: &'a Rpc,
    pub(super) cluster: u64,
    pub(super) member: &'a Present,
    pub(super) feeds: Feeds,
}

impl Line<'_> {
    /// Serves the stream until it breaks, requests go to another member, or nobody can order any more.
    pub(super) async fn serve(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        queued: UnboundedReceiver<Request>,
        stream: WatchStream,
    ) -> Option<Failure> {
        let (requests, mut answers) = stream.split();
        let _writer = Writer::start(requests, queued);
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut moved = self.rpc.moved();
        let mut silent_since = Deadline::now();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Add { id, target, notices }) => self.feeds.add(target, id, notices),
                    Some(Order::Remove(id)) => self.feeds.remove(id),
                    None => return None,
                },
                answer = answers.message() => {
                    silent_since = Deadline::now();
                    let failure = match answer {
                        Ok(Some(answer)) => self.take(&answer).err(),
                        Ok(None) => Some(broken("etcd closed the watch stream")),
                        Err(error) => Some(Failure::of(error, Effect::Read)),
                    };
                    if failure.is_some() {
                        return failure;
                    }
                }
                () = departure(&mut moved, self.member.generation) => return None,
                _ = heartbeat.tick() => {
                    if self.feeds.is_empty() {
                        silent_since = Deadline::now();
                        continue;
                    }
                    if silent_since.elapsed() > SILENCE {
                        return Some(broken("the watch stream is silent"));
                    }
                    self.feeds.send(Request::Heartbeat);
                }
            }
        }
    }

    fn take(&mut self, answer: &WatchResponse) -> Result<(), Failure> {
        let report = |error| Failure { error, remedy: Remedy::Report };
        self.rpc.admit(self.cluster, answer, Effect::Read).map_err(report)?;
        // The server gave up the whole stream, or a watch on it, because the login that the stream was
        // opened with does not hold any more. The next stream is opened with a new one.
        let given_up = answer.canceled() && answer.compact_revision() == 0;
        if given_up && (answer.watch_id() < 0 || self.feeds.has(answer.watch_id())) {
            let message = format!("etcd cancelled a watch: {}", answer.cancel_reason());
            return Err(Failure { error: Error::new(ErrorKind::Unavailable, message), remedy: Remedy::LogIn });
        }
        self.feeds.take(answer);
        Ok(())
    }
}

/// When requests go to another member than in that generation.
async fn departure(moved: &mut tokio::sync::watch::Receiver<u64>, generation: u64) {
    // Its sender lives as long as whoever asks.
    let _ = moved.wait_for(|present| *present != generation).await;
}

fn broken(how: &str) -> Failure {
    Failure { error: Error::new(ErrorKind::Unavailable, how), remedy: Remedy::NextMember }
}
