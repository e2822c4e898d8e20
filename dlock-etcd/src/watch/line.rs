//! One stream, to one member.

use std::collections::HashMap;
use std::time::Duration;

use dlock_core::{Error, ErrorKind};
use etcd_client::{EventType, WatchRequestSender, WatchResponse, WatchStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant as Deadline;

use super::{Notice, Order, Target};
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
    pub(super) watchers: HashMap<i64, UnboundedSender<Notice>>,
}

impl Line<'_> {
    /// Serves the stream until it breaks, requests go to another member, or nobody can order any more.
    pub(super) async fn serve(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        stream: WatchStream,
    ) -> Option<Failure> {
        let (requests, mut answers) = stream.split();
        let mut writer = Writer::start(requests);
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut moved = self.rpc.moved();
        let mut silent_since = Deadline::now();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Add { id, target, notices }) => {
                        self.watchers.insert(id, notices);
                        writer.send(Request::Watch(id, target));
                    }
                    Some(Order::Remove(id)) => {
                        if self.watchers.remove(&id).is_some() {
                            writer.send(Request::Cancel(id));
                        }
                    }
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
                    if self.watchers.is_empty() {
                        silent_since = Deadline::now();
                        continue;
                    }
                    if silent_since.elapsed() > SILENCE {
                        return Some(broken("the watch stream is silent"));
                    }
                    writer.send(Request::Heartbeat);
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
        if given_up && (answer.watch_id() < 0 || self.watchers.contains_key(&answer.watch_id())) {
            let message = format!("etcd cancelled a watch: {}", answer.cancel_reason());
            return Err(Failure { error: Error::new(ErrorKind::Unavailable, message), remedy: Remedy::LogIn });
        }
        dispatch(answer, &mut self.watchers);
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

fn dispatch(answer: &WatchResponse, watchers: &mut HashMap<i64, UnboundedSender<Notice>>) {
    let Some(watcher) = watchers.get(&answer.watch_id()) else { return };
    if answer.created() && !answer.canceled() {
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let _ = watcher.send(Notice::Watching(revision));
    }
    for event in answer.events() {
        let _ = watcher.send(match event.event_type() {
            EventType::Put => Notice::Put,
            EventType::Delete => Notice::Deleted(event.prev_kv().map(etcd_client::KeyValue::create_revision)),
        });
    }
    if answer.compact_revision() > 0 {
        let _ = watcher.send(Notice::Compacted);
    }
    if answer.canceled() {
        watchers.remove(&answer.watch_id());
    }
}

enum Request {
    Watch(i64, Target),
    Cancel(i64),
    Heartbeat,
}

/// Writes to the stream in a task of its own: a full stream must not keep the answers from being read.
struct Writer {
    queue: UnboundedSender<Request>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    fn start(mut requests: WatchRequestSender) -> Self {
        let (queue, mut queued) = unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(request) = queued.recv().await {
                let sent = match request {
                    Request::Watch(id, target) => {
                        let (key, options) = target.options(id);
                        requests.watch(key, Some(options)).await
                    }
                    Request::Cancel(id) => requests.cancel(id).await,
                    Request::Heartbeat => requests.request_progress().await,
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        Self { queue, task }
    }

    fn send(&mut self, request: Request) {
        // A writer that is gone had a broken stream, which the reader is about to see.
        let _ = self.queue.send(request);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
