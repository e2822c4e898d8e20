//! The one long-lived watch stream of a client. Watches are added to it and taken off again; those who
//! watch the same share one watch of the server's.
//!
//! It belongs to the member that requests go to: when it breaks or falls silent, all requests move on
//! to another member, and when they do, so does the stream.

mod feeds;
mod line;
mod writer;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dlock_core::{Event, Scope};
use etcd_client::{WatchFilterType, WatchOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant as Deadline;

use self::feeds::Feeds;
use self::line::Line;
use self::writer::Request;
use crate::error::Effect;
use crate::keys::Span;
use crate::rpc::{LONGEST_ANSWER, Rpc};

/// Hands out watches.
#[derive(Debug)]
pub(crate) struct WatchHub {
    orders: UnboundedSender<Order>,
    last_id: AtomicI64,
}

/// The pause between attempts to open a stream.
const REOPEN: Duration = Duration::from_millis(250);

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The server watches. A watch from now on sees everything after this revision. Where others watch
    /// the same already, that may be long ago, and deletions come that are older than what was asked for.
    Watching(i64),
    /// The key was put.
    Put,
    /// A key was deleted, in this revision.
    Deleted {
        revision: i64,
        /// When it had been created, as far as the server remembers; not told of a single key.
        created: Option<i64>,
    },
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

    /// From which revision on; `None` from now on.
    fn start(&self) -> Option<i64> {
        match self {
            Self::KeyFrom(_, revision) | Self::SpanGone(_, revision) => Some(*revision),
            Self::KeyGone(_) => None,
        }
    }

    /// The same for all who can share a watch of the server's.
    fn shared(&self) -> Option<Self> {
        match self {
            Self::KeyFrom(..) => None,
            Self::KeyGone(_) => Some(self.clone()),
            Self::SpanGone(span, _) => Some(Self::SpanGone(span.clone(), 0)),
        }
    }
}

async fn drive(rpc: Rpc, mut orders: UnboundedReceiver<Order>, events: UnboundedSender<Event>) {
    while let Some(order) = orders.recv().await {
        let Order::Add { id, target, notices } = order else { continue };
        let (began, mut patience) = (Deadline::now(), rpc.patience(rpc.deadline()));
        let (cluster, member) = (rpc.cluster(), rpc.present());
        let (mut feeds, mut queued) = Feeds::new();
        feeds.add(target, id, notices);
        // The stream opens with its first watch: the server answers nothing before.
        let Some(Request::Watch(first, target)) = queued.recv().await else { continue };
        let (key, options) = target.options(first);
        let opening = patience.ask(&member, Effect::Read, |client| async move {
            client.watch_client().max_decoding_message_size(LONGEST_ANSWER).watch(key, Some(options)).await
        });
        let ended = match opening.await {
            Ok(stream) => {
                let mut line = Line { rpc: &rpc, cluster, member: &member, feeds };
                let ended = line.serve(&mut orders, queued, stream).await;
                let _ = events.send(Event::Suspect(Scope::All));
                ended
            }
            Err(failure) => {
                // All who wait for a stream learn that there is none; they come back.
                drop(feeds);
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
