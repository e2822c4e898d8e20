use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::fast_path::MemoryFastPath;
use super::store::Standing;
use super::{MemoryStore, Network};
use crate::{
    BackendInfo, Capabilities, Capability, Claim, ClaimRef, ConnectContext, DamagedEntry, Event, FastPath, Gone, Grant,
    Life, LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Page, Queue, Renewal, Requested, Result,
    TokenGuarantee, TtlBounds, Why, Withdrawn,
};

/// One client of a memory store.
pub(crate) struct MemoryBackend {
    info: BackendInfo,
    store: MemoryStore,
    network: Network,
    context: ConnectContext,
    client: u64,
    events: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
    timekeeper: AbortHandle,
    has_fast_path: bool,
}

impl MemoryBackend {
    pub(crate) fn connect(store: MemoryStore, network: Network, has_fast_path: bool, context: ConnectContext) -> Self {
        let (client, events) = store.join();
        let server = store.clone();
        let timekeeper = tokio::spawn(async move { server.keep_time().await }).abort_handle();
        let info = info(&network);
        Self { info, store, network, context, client, events: Mutex::new(Some(events)), timekeeper, has_fast_path }
    }

    /// Sends a request to the store.
    async fn exchange<T: Send + 'static>(
        &self,
        serve: impl Fn(&MemoryStore) -> T + Send + Sync + Clone + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        self.network.exchange(&self.context.clock, move || serve(&store)).await
    }
}

#[async_trait]
impl LockBackend for MemoryBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        let sent_at = self.context.clock.now();
        let (client, namespace, request) = (self.client, self.context.namespace.clone(), claim.clone());
        let standing = self.exchange(move |store| store.request(client, &namespace, &request, queue)).await??;
        let life = Life::new(sent_at, claim.ttl);
        Ok(match standing {
            Standing::Held(grant) => Requested::Held(grant, life),
            Standing::Queued => Requested::Queued(life),
            Standing::Absent => Requested::Refused,
        })
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let sent_at = self.context.clock.now();
        let (namespace, batch) = (self.context.namespace.clone(), claims.to_vec());
        let serve = move |store: &MemoryStore| -> Vec<Standing> {
            batch.iter().map(|claim| store.renew(&namespace, &claim.name, claim.id)).collect()
        };
        match self.exchange(serve).await {
            Err(error) => vec![Err(error); claims.len()],
            Ok(standings) => standings
                .into_iter()
                .zip(claims)
                .map(|(standing, claim)| {
                    let alive = |grant| Renewal::Alive { life: Life::new(sent_at, claim.ttl), grant, recheck: None };
                    Ok(match standing {
                        Standing::Held(grant) => alive(Some(grant)),
                        Standing::Queued => alive(None),
                        Standing::Absent => Renewal::Gone(Gone::Absent),
                    })
                })
                .collect(),
        }
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let (namespace, name, id) = (self.context.namespace.clone(), claim.name.clone(), claim.id);
        self.exchange(move |store| store.withdraw(&namespace, &name, id, why)).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        let (namespace, name, id) = (self.context.namespace.clone(), claim.name.clone(), claim.id);
        self.exchange(move |store| store.convert(&namespace, &name, id, to)).await?
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        let (namespace, name) = (self.context.namespace.clone(), name.clone());
        self.exchange(move |store| store.inspect(&namespace, &name)).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        let (namespace, prefix) = (self.context.namespace.clone(), prefix.clone());
        let limit = page.limit.max(1);
        let names = self.exchange(move |store| store.list(&namespace, &prefix, page.cursor.as_deref(), limit)).await?;
        let cursor = names.last().filter(|_| names.len() == limit).map(|name| name.to_string());
        Ok(NamePage { names, cursor })
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        let (namespace, name, fingerprint) = (self.context.namespace.clone(), name.clone(), entry.fingerprint.clone());
        self.exchange(move |store| store.clear_damage(&namespace, &name, &fingerprint)).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let taken = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(events) = taken else { return stream::empty().boxed() };
        let (network, clock) = (self.network.clone(), self.context.clock.clone());
        let pushed = stream::unfold(events, |mut events| async move { Some((events.recv().await?, events)) });
        let carried = pushed.filter_map(move |event| {
            let (network, clock) = (network.clone(), clock.clone());
            async move { network.carry_event(&clock).await.then_some(event) }
        });
        carried.boxed()
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        let path = || MemoryFastPath::new(&self.store, &self.network, &self.context, self.client);
        self.has_fast_path.then(|| -> Arc<dyn FastPath> { Arc::new(path()) })
    }

    async fn close(&self) -> Result<()> {
        self.timekeeper.abort();
        self.store.part(self.client);
        Ok(())
    }
}

/// Also when the keeper's runtime is shut down under it.
impl Drop for MemoryBackend {
    fn drop(&mut self) {
        self.timekeeper.abort();
        self.store.part(self.client);
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("client", &self.client).finish_non_exhaustive()
    }
}

fn info(network: &Network) -> BackendInfo {
    BackendInfo {
        scheme: "memory",
        capabilities: Capabilities::of(&[
            Capability::Exclusive,
            Capability::Shared,
            Capability::Permits,
            Capability::Downgrade,
            Capability::Fifo,
            Capability::Push,
            Capability::PredecessorFate,
            Capability::List,
            Capability::Break,
            Capability::TokensSurviveRestart,
        ]),
        ttl: TtlBounds { min: Duration::from_millis(100), max: Duration::from_secs(30 * 24 * 3600) },
        grace: Duration::from_millis(50),
        tokens: TokenGuarantee::Consensus,
        request_timeout: network.request_timeout(),
        missed_event_bound: Duration::from_secs(30),
    }
}
