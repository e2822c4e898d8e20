//! Acquire, release, try, and bounded waits.

use std::sync::Arc;

use crate::broken::admission::TryQueues;
use crate::{Case, Lab};

const GROUP: &str = "basic";

pub(super) const CASES: &[Case] =
    &[case!([3] try_on_a_held_lock_answers_at_once_without_queueing, needs [], trips on TryQueues)];

async fn try_on_a_held_lock_answers_at_once_without_queueing(lab: Arc<Lab>) {
    let (one, two) = (lab.client().await, lab.client().await);
    let guard = one.lock("a").unwrap().acquire().await.unwrap();
    assert!(two.lock("a").unwrap().try_acquire().await.unwrap().is_none());
    let state = one.inspect("a").await.unwrap();
    assert_eq!((state.holders.len(), state.waiters.len()), (1, 0));
    guard.release().await.unwrap();
    assert_eq!(lab.claims().await, 0);
}
