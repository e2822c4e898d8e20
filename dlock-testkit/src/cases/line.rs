//! Waiting in line, as many cases do.

use dlock_core::{Guard, Lock, Locks, Result};
use tokio::task::JoinHandle;

use crate::Lab;

impl Lab {
    /// Begins to acquire `lock` in the background, and waits until it stands at the end of the line,
    /// as `observer` sees it.
    pub(crate) async fn line_up(&self, observer: &Locks, lock: &Lock) -> JoinHandle<Result<Guard>> {
        let name = lock.name().to_string();
        let ahead = observer.inspect(&name).await.expect("a name can be inspected").waiters.len();
        let lock = lock.clone();
        let waiting = tokio::spawn(async move { lock.acquire().await });
        self.until_waiting(observer, &name, ahead + 1).await;
        waiting
    }
}
