use std::fmt;

use futures::FutureExt;

use super::store::Standing;
use super::{MemoryStore, Network};
use crate::{Claim, ClaimRef, ConnectContext, FastAnswer, FastPath, Grant, Life, Queue, Why, Withdrawn};

/// The requests of one client of a memory store that its callers make by themselves.
#[derive(Clone)]
pub(crate) struct MemoryFastPath {
    store: MemoryStore,
    network: Network,
    context: ConnectContext,
    client: u64,
}

impl MemoryFastPath {
    pub(crate) fn new(store: &MemoryStore, network: &Network, context: &ConnectContext, client: u64) -> Self {
        Self { store: store.clone(), network: network.clone(), context: context.clone(), client }
    }
}

impl FastPath for MemoryFastPath {
    fn take(&self, claim: &Claim) -> Option<FastAnswer<(Grant, Life)>> {
        let (path, claim) = (self.clone(), claim.clone());
        let taking = async move {
            let MemoryFastPath { store, network, context, client } = path;
            let (sent_at, ttl) = (context.clock.now(), claim.ttl);
            let serve = move || store.request(client, &context.namespace, &claim, Queue::No);
            match network.exchange(&context.clock, serve).await?? {
                Standing::Held(grant) => Ok(Some((grant, Life::new(sent_at, ttl)))),
                Standing::Queued | Standing::Absent => Ok(None),
            }
        };
        Some(taking.boxed())
    }

    fn give_back(&self, claim: &ClaimRef) -> Option<FastAnswer<Withdrawn>> {
        let (path, claim) = (self.clone(), claim.clone());
        let giving = async move {
            let MemoryFastPath { store, network, context, .. } = path;
            let serve = move || store.withdraw(&context.namespace, &claim.name, claim.id, Why::Release);
            network.exchange(&context.clock, serve).await.map(Some)
        };
        Some(giving.boxed())
    }
}

impl fmt::Debug for MemoryFastPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFastPath").field("client", &self.client).finish_non_exhaustive()
    }
}
