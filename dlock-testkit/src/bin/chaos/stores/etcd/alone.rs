//! An etcd cluster of one member.

use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::{Etcd, EtcdSnapshot, SmallDisk};

use super::common::{Common, DISK, KEYS, PASSWORD, RESTART_AND_COMPACT, SETTINGS, USER, Whole};
use crate::stores::{FILL_DISK, Store};

const STOP: &str = "stop server";
const RESTART: &str = "restart server";

#[derive(Debug)]
pub(in crate::stores) struct EtcdTarget {
    server: Etcd,
    has_disk: bool,
    common: Common,
}

impl EtcdTarget {
    pub(in crate::stores) async fn start() -> Self {
        let has_disk = SmallDisk::available().is_ok();
        let builder = Etcd::builder().with_args(SETTINGS).with_login(USER, PASSWORD, KEYS);
        let builder = if has_disk { builder.with_disk(DISK) } else { builder };
        let server = builder.start().await;
        let common = Common::of(server.operator_url(), Store::Etcd.ttl());
        Self { server, has_disk, common }
    }
}

#[async_trait]
impl Target for EtcdTarget {
    fn store(&self) -> &str {
        "etcd"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        vec![self.server.addr()]
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        Common::address(servers)
    }

    fn client(&self) -> Box<dyn Connect> {
        self.common.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = [STOP, RESTART].map(|name| Kind::new(name, Aim::Servers)).to_vec();
        kinds.extend(self.has_disk.then_some(FILL_DISK));
        kinds.extend(Common::kinds());
        kinds
    }

    async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            _ if fault.kind == FILL_DISK => self.server.fill_disk(),
            STOP => self.server.stop(),
            RESTART | RESTART_AND_COMPACT => self.server.kill(),
            _ => return self.common.begin(fault).await,
        }
        "the server".to_owned()
    }

    async fn end(&self, fault: &Aimed) {
        match fault.kind.name {
            // It has ended when it could not write.
            _ if fault.kind == FILL_DISK => {
                self.server.free_disk();
                self.server.restart().await;
            }
            STOP => self.server.resume(),
            RESTART => self.server.restart().await,
            _ => self.common.end(fault, &self.server).await,
        }
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.common.count(namespace).await)
    }
}

#[async_trait]
impl Whole for Etcd {
    fn kill(&self) {
        (**self).kill();
    }

    async fn restart(&self) {
        self.restart().await;
    }

    async fn restore(&self, snapshot: EtcdSnapshot) {
        self.restore(snapshot).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::etcd::common::inflict;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_server_is_well_after_every_fault() {
        let Ok(()) = Etcd::installed() else { return };
        let target = EtcdTarget::start().await;
        for kind in target.kinds() {
            inflict(&target, kind).await;
        }
    }
}
