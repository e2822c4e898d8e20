//! Which cluster answers. One that was restored from a snapshot has another id than before.

use dlock_core::{Error, ErrorKind, Result};
use etcd_client::{
    DeleteResponse, GetResponse, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRevokeResponse,
    LeaseTimeToLiveResponse, ResponseHeader, TxnResponse, WatchResponse,
};
use tokio::sync::watch;

use crate::error::Effect;

/// The cluster that is known.
#[derive(Debug)]
pub(crate) struct Cluster {
    id: watch::Sender<u64>,
}

/// An answer that says which cluster gave it.
pub(crate) trait Answered {
    /// 0 if it does not say.
    fn cluster(&self) -> u64;
}

impl Cluster {
    pub(crate) fn new(id: u64) -> Self {
        Self { id: watch::Sender::new(id) }
    }

    pub(crate) fn id(&self) -> u64 {
        *self.id.borrow()
    }

    /// Changes when another cluster answers than before.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.id.subscribe()
    }

    /// Lets an answer pass if it comes from the cluster that the request was made for, which was
    /// known by `sent_for` when it was sent, and still is the known one: a late answer of a former
    /// cluster says nothing of what is there now. Otherwise its cluster becomes the known one, unless
    /// that has changed since.
    pub(crate) fn admit(&self, sent_for: u64, answer: &impl Answered, effect: Effect) -> Result<()> {
        let answered = answer.cluster();
        let is_late = self.id() != sent_for;
        if !is_late && (answered == sent_for || answered == 0) {
            return Ok(());
        }
        self.id.send_if_modified(|known| {
            let is_news = *known == sent_for && ![0, sent_for].contains(&answered);
            if is_news {
                tracing::warn!(from = *known, to = answered, "another etcd cluster answers than before");
                *known = answered;
            }
            is_news
        });
        let message = "the etcd cluster was restored from a snapshot or replaced: its claims have ended, try again";
        Err(Error::new(ErrorKind::Unavailable, message).with_landed(effect.doubt()))
    }
}

macro_rules! answered {
    ($($answer:ty),* $(,)?) => {
        $(impl Answered for $answer {
            fn cluster(&self) -> u64 {
                self.header().map_or(0, ResponseHeader::cluster_id)
            }
        })*
    };
}

answered!(
    DeleteResponse,
    GetResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
    TxnResponse,
    WatchResponse,
);

#[cfg(test)]
mod tests {
    use dlock_core::Landed;

    use super::*;

    struct From(u64);

    impl Answered for From {
        fn cluster(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn another_cluster_is_noticed_once_and_a_late_answer_of_the_former_changes_nothing() {
        let cluster = Cluster::new(1);
        let mut changes = cluster.changes();
        cluster.admit(1, &From(1), Effect::Write).unwrap();
        cluster.admit(1, &From(0), Effect::Write).unwrap();
        assert!(!changes.has_changed().unwrap());
        let error = cluster.admit(1, &From(2), Effect::Write).unwrap_err();
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::Maybe));
        assert_eq!(*changes.borrow_and_update(), 2);
        let error = cluster.admit(1, &From(2), Effect::Read).unwrap_err();
        assert_eq!(error.landed(), Landed::No, "made for what the former cluster had");
        cluster.admit(2, &From(2), Effect::Write).unwrap();
        assert!(!changes.has_changed().unwrap());
        cluster.admit(2, &From(1), Effect::Read).unwrap_err();
        assert_eq!(cluster.id(), 1, "asked now, the former answers again");
    }

    #[test]
    fn a_late_answer() {
        let cluster = Cluster::new(1);
        cluster.admit(1, &From(2), Effect::Read).unwrap_err();
        for late in [3, 1, 0] {
            let error = cluster.admit(1, &From(late), Effect::Write).unwrap_err();
            assert_eq!(error.landed(), Landed::Maybe, "{late}");
        }
        assert_eq!(cluster.id(), 2);
    }
}
