//! The contract, served by scripts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Capabilities, Capability, Claim, ClaimId, ClaimRef, ConnectContext, Contention, DamagedEntry, Error,
    ErrorKind, Event, FastPath, Grant, Instant, Landed, Life, LockBackend, LockName, LockState, Mode, NamePage,
    NamePrefix, Page, Queue, Renewal, Requested, Result, TokenGuarantee, TtlBounds, Why, Withdrawn,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::task::JoinHandle;

use crate::config::RedisConfig;
use crate::express::Express;
use crate::keys::Keyspace;
use crate::lookout::{Renew, Standing, ask, keep_looking};
use crate::registry::{Asked, Registry};
use crate::replicas::Replicas;
use crate::requests::Requests;
use crate::routes::Routes;
use crate::scripts::Scripts;
use crate::server::ServerCheck;
use crate::shared::Shared;
use crate::tokens::Tokens;

/// A connected backend.
pub(crate) struct RedisBackend {
    info: BackendInfo,
    requests: Arc<Requests>,
    lookout: JoinHandle<()>,
    express: Express,
    watch: JoinHandle<()>,
    /// `None` where none must acknowledge anything.
    replicas: Option<Replicas>,
}

impl RedisBackend {
    pub(crate) async fn connect(config: &RedisConfig, context: &ConnectContext) -> Result<Self> {
        let keys = Keyspace::new(&context.namespace, config.buckets());
        let clock = context.clock.clone();
        let (registry, unproven) = match config.replicas() {
            0 => (Registry::new(clock.clone()), None),
            _ => {
                let (registry, unproven) = Registry::with_proofs(clock.clone());
                (registry, Some(unproven))
            }
        };
        let shared = Arc::new(Shared {
            place: config.place(),
            timeout: config.request_timeout(),
            check: ServerCheck::new(config.topology(), config.replicas(), &context.namespace, config.user()),
            replicas: config.replicas(),
            inbox: format!("{}:inbox:{}", context.namespace, &ClaimId::random().to_string()[..INBOX_DIGITS]),
            scripts: Scripts::new(),
            tokens: Tokens::new(keys.buckets().count()),
            keys,
            registry: Arc::new(registry),
        });
        let routes = Routes::open(config, shared.clone()).await?;
        let contention = Contention::new(clock.clone());
        let requests = Arc::new(Requests { shared, routes, clock, contention });
        let lookout = tokio::spawn(keep_looking(requests.clone()));
        let express = Express::new(requests.clone());
        let watch = tokio::spawn(express.clone().watch());
        let replicas = unproven.map(|unproven| Replicas::start(requests.clone(), unproven));
        let info = BackendInfo {
            scheme: "redis",
            capabilities: Capabilities::of(&CAPABILITIES),
            ttl: TtlBounds { min: Duration::from_millis(200), max: Duration::from_secs(30 * 24 * 3600) },
            grace: Duration::from_secs(1),
            tokens: TokenGuarantee::BestEffort,
            // A request may take the native way, find the name taken, and go on to the script.
            request_timeout: config.request_timeout() * if replicas.is_some() { 3 + Replicas::TIMEOUTS } else { 3 },
            // A push is lost only with its connection, which is then rebuilt and everything renewed.
            missed_event_bound: config.request_timeout() + Duration::from_secs(1),
        };
        Ok(Self { info, requests, lookout, express, watch, replicas })
    }

    fn registry(&self) -> &Registry {
        &self.requests.shared.registry
    }

    fn renewal(&self, claim: &ClaimRef, standing: Standing, sent_at: Instant) -> Renewal {
        let life = Life::new(sent_at, claim.ttl);
        let registry = self.registry();
        match standing {
            Standing::Held(grant) => {
                let grant = registry.found_granted(claim.id, grant);
                Renewal::Alive { life, grant, recheck: None }
            }
            Standing::Queued(wait) => {
                registry.queued(claim.id, wait);
                // A grant that was pushed after this answer was given may have overtaken it.
                Renewal::Alive { life, grant: registry.grant(claim.id), recheck: None }
            }
            Standing::Gone(gone) => {
                registry.forget(claim.id);
                Renewal::Gone(gone)
            }
        }
    }
}

#[async_trait]
impl LockBackend for RedisBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        self.info.ttl.check(claim.ttl, self.info.scheme)?;
        let asked = self.registry().begin(&claim.to_ref());
        let mut requested = self.requests.obtain(claim, queue, asked).await;
        if let (Some(replicas), Ok(Requested::Held(..))) = (&self.replicas, &requested) {
            requested = replicas.prove(claim).await;
        }
        let pushed = self.registry().end(claim.id);
        match (&requested, pushed) {
            // The grant overtook the answer on its way to this task.
            (Ok(Requested::Queued(life)), Some(grant)) => return Ok(Requested::Held(grant, *life)),
            (Ok(Requested::Refused), _) => self.registry().forget(claim.id),
            // A claim that was registered before stays so whatever refuses the repetition.
            (Err(error), _) if error.landed() == Landed::No && asked == Asked::First => {
                self.registry().forget(claim.id);
            }
            _ => {}
        }
        requested
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let sent_at = self.requests.clock.now();
        let standings = ask(&self.requests, claims, Renew::Yes).await;
        claims.iter().zip(standings).map(|(claim, standing)| Ok(self.renewal(claim, standing?, sent_at))).collect()
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why != Why::Break {
            self.registry().forget(claim.id);
        }
        self.requests.remove(claim, why).await
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        if to != Mode::Shared {
            let text = format!("the redis backend changes exclusive claims to shared ones, not to {to}");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        self.requests.share(claim).await
    }

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        self.requests.inspect(name).await
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        self.requests.list(prefix, page).await
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        self.requests.clear(name, entry).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        match self.registry().take_events() {
            Some(events) => events.boxed(),
            None => futures::stream::empty().boxed(),
        }
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        // What must be acknowledged takes the keeper.
        self.replicas.is_none().then(|| Arc::new(self.express.clone()) as Arc<dyn FastPath>)
    }

    async fn close(&self) -> Result<()> {
        self.lookout.abort();
        self.watch.abort();
        self.express.close();
        if let Some(replicas) = &self.replicas {
            replicas.close();
        }
        self.requests.routes.close();
        Ok(())
    }
}

impl Drop for RedisBackend {
    fn drop(&mut self) {
        self.lookout.abort();
        self.watch.abort();
        self.express.close();
        if let Some(replicas) = &self.replicas {
            replicas.close();
        }
        self.requests.routes.close();
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("place", &self.requests.shared.place).finish_non_exhaustive()
    }
}

/// 64 random bits: what has to differ are the clients of one namespace.
const INBOX_DIGITS: usize = 16;

const CAPABILITIES: [Capability; 11] = [
    Capability::Exclusive,
    Capability::Shared,
    Capability::Permits,
    Capability::Downgrade,
    Capability::Fifo,
    Capability::Push,
    Capability::PredecessorFate,
    Capability::List,
    Capability::Break,
    Capability::CrossProcess,
    Capability::TokensSurviveRestart,
];
