use async_trait::async_trait;
use distributed_lock_core::{DistributedLock as _, LockHandle, LockProvider};
use distributed_lock_redis::RedisLockProvider;

use super::{Contender, Meanwhile, POLL, TTL, version};

/// The Redis part of the crate `distributed-lock`.
pub(crate) struct DistributedLock {
    provider: RedisLockProvider,
}

impl DistributedLock {
    pub(crate) async fn connect(url: &str) -> Self {
        let provider = RedisLockProvider::builder().url(url).expiry(TTL).build().await;
        Self { provider: provider.expect("the server is there") }
    }
}

#[async_trait]
impl Contender for DistributedLock {
    fn label(&self) -> String {
        format!("`distributed-lock` {}", version("distributed-lock-redis"))
    }

    async fn turn(&self, _task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        // Its locks have one id each, so that every holder needs a lock of its own.
        let lock = self.provider.create_lock(name);
        // Its `acquire` gives up at once when the name is taken.
        let handle = loop {
            match lock.try_acquire().await.expect("the server answers") {
                Some(handle) => break handle,
                None => tokio::time::sleep(POLL).await,
            }
        };
        meanwhile.await;
        handle.release().await.expect("the server answers");
    }
}
