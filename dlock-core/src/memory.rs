//! The in-process backend: the reference implementation of the contract, and the simulated
//! service behind it on which ambiguity is tested before any real network is involved.

mod backend;
mod fast_path;
mod network;
mod store;

use std::sync::Arc;

use async_trait::async_trait;

use self::backend::MemoryBackend;
pub use self::network::{Link, Network};
pub use self::store::MemoryStore;
use crate::{Connect, ConnectContext, LockBackend, Result};

/// Connects to a [`MemoryStore`].
///
/// ```
/// # use dlock_core::{Locks, memory::{Memory, MemoryStore}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> dlock_core::Result<()> {
/// let store = MemoryStore::new();
/// let here = Locks::connect(Memory::on(&store)).await?;
/// let there = Locks::connect(Memory::on(&store)).await?;
/// let guard = here.lock("a")?.acquire().await?;
/// assert!(there.lock("a")?.try_acquire().await?.is_none());
/// # drop(guard); here.close().await?; there.close().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    store: MemoryStore,
    network: Network,
    has_fast_path: bool,
}

impl Memory {
    /// A store of its own, which nobody else can reach.
    #[must_use]
    pub fn new() -> Self {
        Self::on(&MemoryStore::new())
    }

    /// A client of `store`, over a network without faults.
    #[must_use]
    pub fn on(store: &MemoryStore) -> Self {
        Self { store: store.clone(), network: Network::perfect(), has_fast_path: false }
    }

    /// The same client behind another network.
    #[must_use]
    pub fn over(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The same client with a [`FastPath`](crate::FastPath), as network services have it, to test what depends on it.
    #[must_use]
    pub fn with_fast_path(self) -> Self {
        Self { has_fast_path: true, ..self }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Connect for Memory {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        Ok(Arc::new(MemoryBackend::connect(self.store, self.network, self.has_fast_path, context)))
    }
}
