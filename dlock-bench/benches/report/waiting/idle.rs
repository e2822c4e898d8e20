use std::time::Duration;

use dlock::Guard;
use tokio::task::JoinSet;

use crate::stores::{Count, Store};

const NAME: &str = "counted";
pub(super) const TASKS: usize = 16;

/// A client that holds one name, for which tasks of its own wait, on a server of its own.
pub(super) struct Idle<S> {
    guard: Guard,
    waiting: JoinSet<()>,
    store: S,
}

impl<S: Store> Idle<S> {
    /// Returns when all wait.
    pub(super) async fn start() -> Self {
        let store = S::start().await;
        let locks = dlock::connect(&store.url()).await.expect("the server is there");
        let lock = locks.lock(NAME).expect("a good name");
        let guard = lock.acquire().await.expect("it is free");
        let mut waiting = JoinSet::new();
        for _ in 0..TASKS {
            let lock = lock.clone();
            waiting.spawn(async move {
                lock.acquire().await.expect("its turn comes").release().await.expect("the server answers");
            });
        }
        while locks.inspect(NAME).await.expect("the server answers").waiters.len() < TASKS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { guard, waiting, store }
    }

    /// Counts what that asks of the server from now on.
    pub(super) fn count(&self) -> Count {
        self.store.count()
    }

    /// Ends it, and makes a row of what was counted.
    pub(super) async fn end(self, counts: &[u64]) -> String {
        self.guard.release().await.expect("the server answers");
        self.waiting.join_all().await;
        let counted = S::COUNTED.iter().zip(counts).filter(|(_, count)| **count > 0);
        let counted: Vec<String> = counted.map(|(what, count)| format!("{what}: {count}")).collect();
        format!("| {} | {} |\n", S::NAME, counted.join(", "))
    }
}
