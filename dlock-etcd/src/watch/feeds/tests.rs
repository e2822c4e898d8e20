use super::*;
use crate::keys::Span;

fn permits(start: i64) -> Target {
    Target::SpanGone(Span { from: b"a".into(), end: b"b".into() }, start)
}

struct Readers {
    feeds: Feeds,
    queued: UnboundedReceiver<Request>,
}

impl Readers {
    fn new() -> Self {
        let (feeds, queued) = Feeds::new();
        Self { feeds, queued }
    }

    fn add(&mut self, reader: i64, target: Target) -> UnboundedReceiver<Notice> {
        let (sender, notices) = unbounded_channel();
        self.feeds.add(target, reader, sender);
        notices
    }

    fn deleted(&mut self, watch: i64, revision: i64) -> Notice {
        let notice = Notice::Deleted { revision, created: Some(1) };
        self.feeds.feeds.get_mut(&watch).unwrap().tell(revision, notice);
        notice
    }

    /// The ids of the watches begun and, negative, of those ended.
    fn sent(&mut self) -> Vec<i64> {
        let mut sent = Vec::new();
        while let Ok(request) = self.queued.try_recv() {
            match request {
                Request::Watch(id, _) => sent.push(id),
                Request::Cancel(id) => sent.push(-id),
                Request::Heartbeat => {}
            }
        }
        sent
    }
}

fn all(notices: &mut UnboundedReceiver<Notice>) -> Vec<Notice> {
    std::iter::from_fn(|| notices.try_recv().ok()).collect()
}

#[test]
fn those_who_come_later_share_a_watch_and_miss_nothing() {
    let mut readers = Readers::new();
    let mut first = readers.add(1, permits(10));
    readers.feeds.begun(1, 12);
    let gone = readers.deleted(1, 11);
    let mut second = readers.add(2, permits(11));
    let later = readers.deleted(1, 13);
    assert_eq!(all(&mut first), [Notice::Watching(12), gone, later]);
    assert_eq!(all(&mut second), [Notice::Watching(9), gone, later]);
    readers.feeds.remove(1);
    assert_eq!(readers.sent(), [1]);
    readers.feeds.remove(2);
    assert_eq!(readers.sent(), [-1]);
    assert!(readers.feeds.is_empty());
}

#[test]
fn a_watch_that_has_begun_too_late_or_has_forgotten_too_much_is_not_shared() {
    let mut readers = Readers::new();
    let _late = readers.add(1, permits(10));
    let _early = readers.add(2, permits(9));
    let _between = readers.add(3, permits(10));
    assert_eq!(readers.sent(), [1, 2]);
    readers.feeds.begun(2, 12);
    for revision in 11..12 + i64::try_from(KEPT).unwrap() {
        readers.deleted(2, revision);
    }
    let _old = readers.add(4, permits(11));
    assert_eq!(readers.sent(), [3], "the deletion at 11 is forgotten");
    let _new = readers.add(5, permits(12));
    assert!(readers.sent().is_empty());
}

#[test]
fn a_watch_from_now_on_is_begun_until_nothing_was_written_meanwhile() {
    let mut readers = Readers::new();
    let mut notices = readers.add(1, Target::KeyGone(b"a".into()));
    assert_eq!(readers.sent(), [1, 2]);
    readers.feeds.begun(1, 10);
    readers.deleted(1, 11);
    readers.feeds.begun(2, 11);
    assert_eq!(readers.sent(), [-1, 3]);
    assert_eq!(all(&mut notices), [], "the first one may be behind");
    let gone = readers.deleted(2, 12);
    readers.feeds.begun(3, 11);
    assert_eq!(readers.sent(), [-3]);
    assert_eq!(all(&mut notices), [Notice::Watching(11), gone]);
}
