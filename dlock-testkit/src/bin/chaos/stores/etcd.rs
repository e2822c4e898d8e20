//! An etcd cluster, of one member or three.

use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Deployment, Kind};
use dlock_testkit::servers::Etcd;
use dlock_testkit::stores;
use etcd_client::Client;

use super::entries::Entries;

const STOP: &str = "stop server";
const RESTART: &str = "restart server";
const REVOKE_LEASES: &str = "revoke leases";

#[derive(Debug)]
pub(super) struct EtcdDeployment {
    server: Etcd,
    entries: Entries,
}

impl EtcdDeployment {
    pub(super) async fn start_one() -> Self {
        let server = Etcd::start().await;
        let entries = Entries::of(stores::open(&server.url()).expect("the server's url is good"));
        Self { server, entries }
    }

    async fn revoke_leases(&self) -> String {
        let mut client = Client::connect([self.server.endpoint()], None).await.expect("the server is there");
        let leases = client.leases().await.expect("the server obeys");
        for lease in leases.leases() {
            // One that ends in this moment is none any more.
            let _ = client.lease_revoke(lease.id()).await;
        }
        format!("{} leases", leases.leases().len())
    }
}

#[async_trait]
impl Deployment for EtcdDeployment {
    fn store(&self) -> &str {
        "etcd"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        vec![self.server.addr()]
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        format!("etcd://{}", servers.join(","))
    }

    fn client(&self) -> Box<dyn Connect> {
        self.entries.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |name, aim| Kind { name, aim, breaks_exclusion: false };
        let own = [
            kind(STOP, Aim::Servers),
            kind(RESTART, Aim::Servers),
            Kind { breaks_exclusion: true, ..kind(REVOKE_LEASES, Aim::ServersOnce) },
        ];
        [&own[..], &Entries::kinds()].concat()
    }

    async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            STOP => self.server.stop(),
            RESTART => self.server.kill(),
            REVOKE_LEASES => return self.revoke_leases().await,
            _ => return self.entries.begin(fault).await,
        }
        "the server".to_owned()
    }

    async fn end(&self, fault: &Aimed) {
        match fault.kind.name {
            STOP => self.server.resume(),
            RESTART => self.server.restart().await,
            _ => self.entries.end(fault).await,
        }
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.entries.count(namespace).await)
    }
}
