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
    young: Mutex<VecDeque<(Instant, Weak<Standing>)>>,
    /// Rung when there is one after there was none.
    rung: Notify,
}

impl Settling {
    /// The key that the claim stands at now is to be watched, if the claim stays for a while.
    pub(crate) fn add(&self, standing: &Arc<Standing>) {
        let mut young = self.young();
        young.push_back((Instant::now() + SETTLED, Arc::downgrade(standing)));
        if young.len() == 1 {
            self.rung.notify_one();
        }
    }

    fn young(&self) -> MutexGuard<'_, VecDeque<(Instant, Weak<Standing>)>> {
        self.young.lock().expect("no panic while locked")
    }

    /// When the oldest will have settled.
    fn next(&self) -> Option<Instant> {
        self.young().front().map(|(settled, _)| *settled)
    }

    fn take_settled(&self) -> Vec<Arc<Standing>> {
        let (now, mut young) = (Instant::now(), self.young());
        let settled = young.iter().take_while(|(settled, _)| *settled <= now).count();
        young.drain(..settled).filter_map(|(_, standing)| standing.upgrade()).collect()
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
