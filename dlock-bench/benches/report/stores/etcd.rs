mod metrics;

use std::sync::Arc;

use async_trait::async_trait;
use dlock_testkit::servers;
use etcd_client::{Client, GetOptions};

use self::metrics::Metrics;
use super::{ASKED, Count, Store, Watcher};
use crate::contenders::{Contender, Dlock, EtcdLock, RawEtcd};

/// An etcd server.
pub(crate) struct Etcd {
    server: servers::Etcd,
    client: Client,
}

#[async_trait]
impl Store for Etcd {
    const NAME: &'static str = "etcd";
    const ROUND_TRIP: &'static str = "a serializable read of one key, which costs neither Raft nor a disk,";
    const COUNTED: &'static [&'static str] = &[
        "requests",
        "transactions",
        "deletions",
        "reads",
        "watch messages in",
        "watch messages out",
        "keep-alives",
        "Raft entries",
        "bytes in",
        "bytes out",
    ];
    const COUNTED_MEANS: &'static str = "requests with one answer each, and which of them were transactions, \
        deletions and reads (the rest are those of etcd's own lock: to lock and to unlock); messages of watch streams, \
        to the server (to watch, and to stop that) and from it; keep-alives of leases; entries of Raft's log, \
        each of which waits for the disk; and the bytes of all messages to the server and from it.";

    async fn start() -> Self {
        let server = servers::Etcd::start().await;
        let client = Client::connect([server.endpoint()], None).await.expect("the server is there");
        Self { server, client }
    }

    fn url(&self) -> String {
        self.server.url()
    }

    async fn alone(&self) -> Vec<Arc<dyn Contender>> {
        let endpoint = self.server.endpoint();
        vec![
            Arc::new(RawEtcd::connect(&endpoint).await),
            Arc::new(EtcdLock::connect(&endpoint, 1).await),
            Arc::new(Dlock::connect(&self.url()).await),
        ]
    }

    async fn contended(&self, tasks: usize) -> Vec<Arc<dyn Contender>> {
        let mut contenders = self.alone().await;
        contenders[1] = Arc::new(EtcdLock::connect(&self.server.endpoint(), tasks).await);
        contenders.push(Arc::new(Dlock::connect_clients(&self.url(), tasks).await));
        contenders
    }

    async fn round_trip(&self) {
        let options = GetOptions::new().with_serializable();
        self.client.kv_client().get("nothing", Some(options)).await.expect("the server answers");
    }

    fn count(&self) -> Count {
        let address = self.server.addr();
        let before = Metrics::read(address).counted();
        Box::new(move || {
            let after = Metrics::read(address).counted();
            after.iter().zip(before).map(|(after, before)| after - before).collect()
        })
    }

    fn watcher(url: &str) -> Watcher {
        let address = url.strip_prefix("etcd://").and_then(|address| address.parse().ok());
        let address = address.expect("the server of this measurement is one without a password");
        Box::new(move || {
            let metrics = Metrics::read(address);
            let counted = metrics.counted();
            let mut gauges: Vec<_> = Self::COUNTED.iter().copied().zip(counted).collect();
            gauges.push((ASKED, metrics.asked()));
            gauges
        })
    }
}
