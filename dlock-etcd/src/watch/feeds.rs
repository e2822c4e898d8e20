//! The server's watches on one stream, and who reads them.

use std::collections::{HashMap, VecDeque};

use etcd_client::{EventType, WatchResponse};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::writer::Request;
use super::{Notice, Target};

/// How many notices a feed keeps for those who are still to come. Whoever needs more looks again.
const KEPT: usize = 512;

/// How often a watch is begun anew that may be behind.
const ATTEMPTS: u32 = 8;

/// The server's watches: one for each target, as a rule, however many read it.
#[derive(Debug)]
pub(super) struct Feeds {
    requests: UnboundedSender<Request>,
    last_id: i64,
    feeds: HashMap<i64, Feed>,
    /// The feeds that others may join.
    shared: HashMap<Target, i64>,
    /// Which feed a reader reads.
    reading: HashMap<i64, i64>,
    /// Watches that are begun after another one only to find out whether that is behind.
    checks: HashMap<i64, i64>,
}

/// A watch of the server's.
#[derive(Debug)]
struct Feed {
    target: Target,
    readers: HashMap<i64, UnboundedSender<Notice>>,
    /// It has all notices of revisions after this one, once the server watches.
    since: Option<i64>,
    /// The readers know that the server watches.
    is_open: bool,
    attempts: u32,
    kept: VecDeque<(i64, Notice)>,
}

impl Feeds {
    /// And what is to be sent to the server.
    pub(super) fn new() -> (Self, UnboundedReceiver<Request>) {
        let (requests, queued) = unbounded_channel();
        let (feeds, shared, reading, checks) = Default::default();
        (Self { requests, last_id: 0, feeds, shared, reading, checks }, queued)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// Whether the server's watch is one of ours.
    pub(super) fn has(&self, watch: i64) -> bool {
        self.feeds.contains_key(&watch) || self.checks.contains_key(&watch)
    }

    pub(super) fn send(&self, request: Request) {
        // A writer that is gone had a broken stream, which its reader is about to see.
        let _ = self.requests.send(request);
    }

    /// Whoever comes later than others gets what they have got, if that is all that it asks for.
    pub(super) fn add(&mut self, target: Target, reader: i64, notices: UnboundedSender<Notice>) {
        let shared = target.shared();
        if let Some(watch) = shared.as_ref().and_then(|shared| self.shared.get(shared).copied())
            && let Some(feed) = self.feeds.get_mut(&watch)
            && feed.has(&target)
        {
            if feed.is_open {
                feed.replay(feed.since.unwrap_or_default(), &notices);
            }
            feed.readers.insert(reader, notices);
            self.reading.insert(reader, watch);
            return;
        }
        let watch = self.begin(&target);
        if target.start().is_none() {
            self.check(&target, watch);
        }
        if let Some(shared) = shared {
            self.shared.insert(shared, watch);
        }
        self.reading.insert(reader, watch);
        self.feeds.insert(watch, Feed::new(target, HashMap::from([(reader, notices)])));
    }

    /// A feed ends with its last reader.
    pub(super) fn remove(&mut self, reader: i64) {
        let Some(watch) = self.reading.remove(&reader) else { return };
        let Some(feed) = self.feeds.get_mut(&watch) else { return };
        feed.readers.remove(&reader);
        if feed.readers.is_empty() {
            self.end(watch);
            self.send(Request::Cancel(watch));
        }
    }

    /// Takes what the server says of one of its watches.
    pub(super) fn take(&mut self, answer: &WatchResponse) {
        let watch = answer.watch_id();
        if answer.created() && !answer.canceled() {
            let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            self.begun(watch, revision);
        }
        let Some(feed) = self.feeds.get_mut(&watch) else { return };
        for event in answer.events() {
            let revision = event.kv().map_or(0, etcd_client::KeyValue::mod_revision);
            feed.tell(
                revision,
                match event.event_type() {
                    EventType::Put => Notice::Put,
                    EventType::Delete => Notice::Deleted {
                        revision,
                        created: event.prev_kv().map(etcd_client::KeyValue::create_revision),
                    },
                },
            );
        }
        if answer.compact_revision() > 0 {
            feed.send(Notice::Compacted);
        }
        if answer.canceled() {
            self.end(watch);
        }
    }

    fn begin(&mut self, target: &Target) -> i64 {
        self.last_id += 1;
        self.send(Request::Watch(self.last_id, target.clone()));
        self.last_id
    }

    /// A watch "from now" begins at the revision after the present one, which the server reads first. A
    /// write that comes between makes it a watch from the past, that the server brings up to date only
    /// every 100 ms (`recvLoop` in etcd's `v3rpc/watch.go`, `watchableStore.watch`). A stream's requests
    /// are taken one after the other: when a second watch begins at the same revision, nothing came between.
    fn check(&mut self, target: &Target, first: i64) {
        let second = self.begin(target);
        self.checks.insert(second, first);
    }

    /// The server watches what comes after the revision.
    fn begun(&mut self, watch: i64, revision: i64) {
        if let Some(first) = self.checks.remove(&watch) {
            return self.compare(first, watch, revision);
        }
        let Some(feed) = self.feeds.get_mut(&watch) else { return };
        if feed.target.start().is_some() {
            return feed.open(revision);
        }
        feed.since = Some(revision);
    }

    /// The second watch on a target has begun: the first one is not behind, or the second one takes its place.
    fn compare(&mut self, first: i64, second: i64, revision: i64) {
        let Some(mut feed) = self.feeds.remove(&first) else { return self.send(Request::Cancel(second)) };
        feed.attempts += 1;
        if feed.since == Some(revision) || feed.attempts == ATTEMPTS {
            feed.open(feed.since.unwrap_or(revision));
            self.feeds.insert(first, feed);
            return self.send(Request::Cancel(second));
        }
        feed.since = Some(revision);
        feed.kept.clear();
        self.send(Request::Cancel(first));
        self.check(&feed.target, second);
        self.reading.extend(feed.readers.keys().map(|reader| (*reader, second)));
        if let Some(shared) = feed.target.shared() {
            self.shared.insert(shared, second);
        }
        self.feeds.insert(second, feed);
    }

    fn end(&mut self, watch: i64) {
        let Some(feed) = self.feeds.remove(&watch) else { return };
        self.reading.retain(|_, read| *read != watch);
        // Another one may have taken its place there.
        if let Some(shared) = feed.target.shared().filter(|shared| self.shared.get(shared) == Some(&watch)) {
            self.shared.remove(&shared);
        }
    }
}

impl Feed {
    fn new(target: Target, readers: HashMap<i64, UnboundedSender<Notice>>) -> Self {
        let since = target.start().map(|start| start - 1);
        Self { target, readers, since, is_open: false, attempts: 0, kept: VecDeque::new() }
    }

    /// Whether who asks for that target misses nothing here.
    fn has(&self, target: &Target) -> bool {
        target.start().is_none_or(|start| self.since.is_some_and(|since| since < start))
    }

    fn open(&mut self, revision: i64) {
        self.is_open = true;
        self.readers.values().for_each(|reader| self.replay(revision, reader));
    }

    /// Tells a reader what there was so far.
    fn replay(&self, revision: i64, reader: &UnboundedSender<Notice>) {
        for notice in [Notice::Watching(revision)].iter().chain(self.kept.iter().map(|(_, notice)| notice)) {
            // A reader that is gone is about to be removed.
            let _ = reader.send(*notice);
        }
    }

    fn tell(&mut self, revision: i64, notice: Notice) {
        self.kept.push_back((revision, notice));
        if self.kept.len() > KEPT {
            self.since = self.kept.pop_front().map(|(forgotten, _)| forgotten);
        }
        if self.is_open {
            self.send(notice);
        }
    }

    fn send(&self, notice: Notice) {
        for reader in self.readers.values() {
            let _ = reader.send(notice);
        }
    }
}

#[cfg(test)]
mod tests;
