//! Claims that are too young for a watch on their own key: most are gone before they are worth one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backend::Inner;
use crate::claims::Standing;
use crate::turn::watch_over;

/// The own key of a claim that has become this old is watched. A watch that starts in the past sees
/// all that it missed.
const SETTLED: Duration = Duration::from_millis(100);

/// Young claims, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    young: Mutex<VecDeque<Young>>,
    /// Rung when there is one after there was none.
    rung: Notify,
}

#[derive(Debug)]
struct Young {
    settled: Instant,
    standing: Weak<Standing>,
    /// Its moves by then: one that has moved since, or is moving, leaves its key by itself.
    moves: u64,
}

impl Settling {
    /// The key that the claim stands at now is to be watched, if the claim stays for a while.
    pub(crate) fn add(&self, standing: &Arc<Standing>) {
        let mut young = self.young();
        let (settled, moves) = (Instant::now() + SETTLED, standing.moves());
        young.push_back(Young { settled, standing: Arc::downgrade(standing), moves });
        if young.len() == 1 {
            self.rung.notify_one();
        }
    }

    fn young(&self) -> MutexGuard<'_, VecDeque<Young>> {
        self.young.lock().expect("no panic while locked")
    }

    /// When the oldest will have settled.
    fn next(&self) -> Option<Instant> {
        self.young().front().map(|young| young.settled)
    }

    fn take_settled(&self) -> Vec<Arc<Standing>> {
        let (now, mut young) = (Instant::now(), self.young());
        let settled = young.iter().take_while(|young| young.settled <= now).count();
        let stayed = |young: Young| young.standing.upgrade().filter(|standing| standing.moves() == young.moves);
        young.drain(..settled).filter_map(stayed).collect()
    }
}

/// Has the claims watched that have settled, for ever.
pub(crate) async fn watch_settled(inner: Weak<Inner>) {
    loop {
        let Some(next) = inner.upgrade().map(|inner| inner.settling.clone()) else { return };
        match next.next() {
            Some(settled) => tokio::time::sleep_until(settled).await,
            None => next.rung.notified().await,
        }
        let Some(inner) = inner.upgrade() else { return };
        for standing in inner.settling.take_settled() {
            if inner.claims.get(standing.id).is_some_and(|present| Arc::ptr_eq(&present, &standing)) {
                let watching = tokio::spawn(watch_over(inner.clone(), standing.clone()));
                standing.add_task(watching.abort_handle());
            }
        }
    }
}
