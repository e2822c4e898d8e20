//! The one long-lived watch stream of a client. Watches are added to it and taken off again.
//!
//! It belongs to the member that requests go to: when it breaks or falls silent, all requests move on
//! to another member, and when they do, so does the stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Event, Scope};
use etcd_client::{EventType, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponse, WatchStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant as Deadline;

use crate::error::{Effect, Failure, Remedy};
use crate::keys::Span;
use crate::members::Present;
use crate::rpc::{LONGEST_ANSWER, Rpc};

/// How often the server is asked for a sign of life on the stream. HTTP/2 pings would do, but a
/// server takes more than one in 5 s for an attack (`--grpc-keepalive-min-time`).
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A stream on which nothing arrived for this long is broken.
const SILENCE: Duration = Duration::from_secs(5);

/// Hands out watches.
#[derive(Debug)]
pub(crate) struct WatchHub {
    orders: UnboundedSender<Order>,
    last_id: AtomicI64,
}

/// The pause between attempts to open a stream.
const REOPEN: Duration = Duration::from_millis(250);

/// What to watch.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One key: every change, from this revision on.
    KeyFrom(Vec<u8>, i64),
    /// One key: its deletion, from now on.
    KeyGone(Vec<u8>),
    /// A range: every deletion, from this revision on.
    SpanGone(Span, i64),
}

/// A watch. Dropping it takes it off the stream.
#[derive(Debug)]
pub(crate) struct Watch {
    id: i64,
    notices: UnboundedReceiver<Notice>,
    orders: UnboundedSender<Order>,
}

/// What a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The server watches; a watch from now on sees everything after this revision.
    Watching(i64),
    /// The key was put.
    Put,
    /// A key was deleted that had been created at this revision, as far as the server remembers.
    Deleted(Option<i64>),
    /// The server has compacted what the watch was to see: it must start later.
    Compacted,
}

#[derive(Debug)]
enum Order {
    Add { id: i64, target: Target, notices: UnboundedSender<Notice> },
    Remove(i64),
}

impl WatchHub {
    /// Starts the hub; its task ends with the hub and its watches.
    pub(crate) fn start(rpc: Rpc, events: UnboundedSender<Event>) -> Self {
        let (orders, received) = unbounded_channel();
        tokio::spawn(drive(rpc, received, events));
        Self { orders, last_id: AtomicI64::new(0) }
    }

    /// Adds a watch. It ends (with `None`) when the stream breaks or the server cancels it.
    pub(crate) fn watch(&self, target: Target) -> Watch {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, notices) = unbounded_channel();
        // A hub whose task is gone drops the order, and the watch ends at once.
        let _ = self.orders.send(Order::Add { id, target, notices: sender });
        Watch { id, notices, orders: self.orders.clone() }
    }
}

impl Watch {
    /// The next notice; `None` when something may have been missed.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Remove(self.id));
    }
}

impl Target {
    fn options(&self, id: i64) -> (Vec<u8>, WatchOptions) {
        let options = WatchOptions::new().with_watch_id(id);
        let gone = || vec![WatchFilterType::NoPut];
        match self {
            Self::KeyFrom(key, revision) => (key.clone(), options.with_start_revision(*revision)),
            Self::KeyGone(key) => (key.clone(), options.with_filters(gone())),
            Self::SpanGone(span, revision) => {
                let options = options.with_range(span.end.clone()).with_start_revision(*revision);
                (span.from.clone(), options.with_filters(gone()).with_prev_key())
            }
        }
    }
}

async fn drive(rpc: Rpc, mut orders: UnboundedReceiver<Order>, events: UnboundedSender<Event>) {
    while let Some(order) = orders.recv().await {
        let Order::Add { id, target, notices } = order else { continue };
        let (began, mut patience) = (Deadline::now(), rpc.patience(rpc.deadline()));
        let (cluster, member) = (rpc.cluster(), rpc.present());
        // The stream opens with its first watch: the server answers nothing before.
        let (key, options) = target.options(id);
        let opening = patience.ask(&member, Effect::Read, |client| async move {
            client.watch_client().max_decoding_message_size(LONGEST_ANSWER).watch(key, Some(options)).await
        });
        let ended = match opening.await {
            Ok(stream) => {
                let mut line = Line { rpc: &rpc, cluster, member: &member, watchers: HashMap::from([(id, notices)]) };
                let ended = line.serve(&mut orders, stream).await;
                let _ = events.send(Event::Suspect(Scope::All));
                ended
            }
            Err(failure) => {
                // All who wait for a stream learn that there is none; they come back.
                drop(notices);
                while orders.try_recv().is_ok() {}
                Some(failure)
            }
        };
        if let Some(failure) = ended {
            tracing::debug!(error = %failure.error, member = member.address, "no watch stream any more");
            // The next one is opened in any case.
            let _ = rpc.recover(failure, &member, &mut patience).await;
            // A server that ends every stream at once is not to be asked without a pause.
            tokio::time::sleep(REOPEN.saturating_sub(began.elapsed())).await;
        }
    }
}

/// One stream, and who watches on it.
struct Line<'a> {
    rpc: &'a Rpc,
    cluster: u64,
    member: &'a Present,
    watchers: HashMap<i64, UnboundedSender<Notice>>,
}

impl Line<'_> {
    /// Serves the stream until it breaks, requests go to another member, or nobody can order any more.
    async fn serve(&mut self, orders: &mut UnboundedReceiver<Order>, stream: WatchStream) -> Option<Failure> {
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
