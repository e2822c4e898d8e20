use async_trait::async_trait;
use rslock::LockManager;

use super::{Contender, Meanwhile, TTL, version};

/// The crate `rslock`, with its defaults: who finds a name taken comes again after up to 200 ms.
pub(crate) struct Rslock {
    manager: LockManager,
}

impl Rslock {
    pub(crate) fn connect(url: &str) -> Self {
        Self { manager: LockManager::new(vec![url]) }
    }
}

#[async_trait]
impl Contender for Rslock {
    fn label(&self) -> String {
        format!("`rslock` {}", version("rslock"))
    }

    async fn turn(&self, _task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let guard = self.manager.acquire(name, TTL).await.expect("it tries for ever");
        meanwhile.await;
        guard.release().await;
    }
}
