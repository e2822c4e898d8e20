//! A cluster: which node keeps a bucket, and a link to each of them.

mod look;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use self::look::keep_looking;
use crate::config::{Address, RedisConfig};
use crate::error::classify_connecting;
use crate::keys::Bucket;
use crate::link::{Link, Live};
use crate::shared::Shared;
use crate::source::{Server, Source};

/// The time between two looks while something is wrong.
const PAUSE: Duration = Duration::from_millis(100);

/// The way to each bucket of a cluster.
///
/// Who keeps what is looked up again whenever a node sends a request elsewhere or its link breaks.
/// Each link listens to the client's inbox: a message is surely heard on the node that sends it,
/// while others may be cut off from that.
#[derive(Debug)]
pub(crate) struct Cluster {
    inner: Arc<Inner>,
    looker: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    config: RedisConfig,
    shared: Arc<Shared>,
    map: watch::Sender<Map>,
    /// Told when the map may be wrong.
    stale: Arc<Notify>,
    /// How long one node may take to answer.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Map {
    /// All that are known, the replicas too.
    nodes: Vec<Address>,
    /// Who keeps each bucket.
    masters: Vec<Option<Address>>,
    links: HashMap<Address, Arc<Link>>,
    is_closed: bool,
}

impl Cluster {
    /// Looks at the cluster that these nodes belong to, and begins to connect to its masters.
    pub(crate) async fn open(config: &RedisConfig, nodes: &[Address], shared: Arc<Shared>) -> Result<Self> {
        let deadline = Instant::now() + shared.timeout;
        let map = Map { nodes: nodes.to_vec(), ..Map::default() };
        let patience = config.request_timeout() / 2;
        let stale = Arc::new(Notify::new());
        let inner = Arc::new(Inner { config: config.clone(), shared, map: watch::Sender::new(map), stale, patience });
        loop {
            match inner.look().await {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < deadline => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        let looker = tokio::spawn(keep_looking(inner.clone()));
        Ok(Self { inner, looker: Mutex::new(Some(looker)) })
    }

    /// A connection to the node that keeps the bucket, as soon as there is one.
    pub(crate) async fn present(&self, bucket: Bucket, deadline: Instant) -> Result<(Arc<Link>, Live)> {
        let mut maps = self.inner.map.subscribe();
        loop {
            let link = maps.borrow_and_update().link_to(bucket)?;
            let Some(link) = link else {
                if Instant::now() >= deadline {
                    return Err(self.inner.nobody_keeps());
                }
                self.inner.stale.notify_one();
                // A map that changed is looked at, and a look that changed nothing is repeated.
                let _ = timeout_at(deadline.min(Instant::now() + PAUSE), maps.changed()).await;
                continue;
            };
            tokio::select! {
                live = link.present(deadline) => return live.map(|live| (link, live)),
                _ = maps.changed() => {}
            }
        }
    }

    /// Takes note that the node at the end of `live` says that another one keeps the bucket's slot.
    pub(crate) fn moved(&self, bucket: Bucket, live: &Live, named: Option<&str>) {
        if let Some(master) = named.and_then(|named| view::named(&host(live), named)) {
            self.inner.change(|map| {
                let keys = &self.inner.shared.keys;
                for other in keys.buckets().filter(|other| other.slot() == bucket.slot()) {
                    map.masters[other.index()] = Some(master.clone());
                }
            });
        }
        self.refresh();
    }

    /// Has the cluster looked at again.
    pub(crate) fn refresh(&self) {
        self.inner.stale.notify_one();
    }

    /// A connection to the node that `live` names for one request (ASK): it takes the next one for a
    /// slot that is on its way to it.
    pub(crate) async fn asking(&self, live: &Live, named: &str, deadline: Instant) -> Result<MultiplexedConnection> {
        let address = view::named(&host(live), named)
            .ok_or_else(|| Error::new(ErrorKind::Protocol, "the cluster names a node without a port"))?;
        let client = self.inner.config.client_at(&address)?;
        let connected = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("ASKING").query_async::<()>(&mut connection).await?;
            Ok(connection)
        };
        match timeout_at(deadline, connected).await {
            Ok(connected) => connected.map_err(classify_connecting),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, format!("redis at {address} does not answer in time"))),
        }
    }

    /// The first bucket of each node that keeps any, and where the node is.
    pub(crate) fn masters(&self) -> Vec<(Bucket, String)> {
        let map = self.inner.map.borrow();
        let mut first: BTreeMap<&Address, Bucket> = BTreeMap::new();
        for (bucket, master) in self.inner.shared.keys.buckets().zip(&map.masters) {
            if let Some(master) = master {
                first.entry(master).or_insert(bucket);
            }
        }
        let mut masters: Vec<_> = first.into_iter().map(|(master, bucket)| (bucket, master.to_string())).collect();
        masters.sort_unstable();
        masters
    }

    /// Ends all links for good.
    pub(crate) fn close(&self) {
        if let Some(looker) = self.looker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            looker.abort();
        }
        self.inner.map.send_modify(|map| {
            map.is_closed = true;
            map.links.drain().for_each(|(_, link)| link.close());
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    /// Changes who keeps what, ends links that nothing is kept at, and begins those that are missing.
    fn change(&self, change: impl FnOnce(&mut Map)) {
        self.map.send_if_modified(|map| {
            if map.is_closed {
                return false;
            }
            let before = (map.masters.clone(), map.nodes.clone());
            change(map);
            let wanted: Vec<Address> = map.masters.iter().flatten().cloned().collect();
            let links = map.links.len();
            map.links.retain(|address, _| wanted.contains(address));
            if map.links.len() < links {
                // What was on its way there is not heard any more.
                self.shared.registry.suspect_all();
            }
            for address in wanted {
                if let std::collections::hash_map::Entry::Vacant(vacant) = map.links.entry(address) {
                    match self.link(vacant.key()) {
                        Ok(link) => drop(vacant.insert(Arc::new(link))),
                        Err(error) => tracing::warn!(node = %vacant.key(), %error, "this node cannot be used"),
                    }
                }
            }
            before != (map.masters.clone(), map.nodes.clone())
        });
    }

    fn link(&self, address: &Address) -> Result<Link> {
        let server = Server { client: self.config.client_at(address)?, place: address.to_string() };
        let source = Source::Node { server: Arc::new(server), stale: self.stale.clone() };
        Ok(Link::begin(source, self.shared.clone()))
    }

    fn nobody_keeps(&self) -> Error {
        let text = format!("no node of {} keeps this name's slot at present", self.shared.place);
        Error::new(ErrorKind::Unavailable, text)
    }
}

impl Map {
    fn link_to(&self, bucket: Bucket) -> Result<Option<Arc<Link>>> {
        if self.is_closed {
            return Err(crate::link::closed());
        }
        let master = self.masters.get(bucket.index()).and_then(Option::as_ref);
        Ok(master.and_then(|master| self.links.get(master)).cloned())
    }
}

/// Where the node is that was asked.
fn host(live: &Live) -> String {
    match live.server().client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}
