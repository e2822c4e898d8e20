//! An etcd cluster of three members.

use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::{EtcdCluster, EtcdSnapshot, SmallDisk};

use super::common::{Common, DISK, KEYS, PASSWORD, RESTART_AND_COMPACT, SETTINGS, USER, Whole};
use crate::stores::hit::{Blow, Hit};
use crate::stores::{FILL_DISK, Store};

/// Faults that hit some of the members.
const BLOWS: [(&str, Blow, Whom); 7] = [
    ("stop leader", Blow::Stop, Whom::Leader),
    ("kill leader", Blow::Kill, Whom::Leader),
    ("isolate leader", Blow::Isolate, Whom::Leader),
    ("stop follower", Blow::Stop, Whom::Follower),
    ("kill follower", Blow::Kill, Whom::Follower),
    ("isolate follower", Blow::Isolate, Whom::Follower),
    ("stop majority", Blow::Stop, Whom::Majority),
];

#[derive(Clone, Copy, Debug)]
enum Whom {
    Leader,
    Follower,
    /// The leader and a follower.
    Majority,
    /// The leader or a follower.
    Any,
}

#[derive(Debug)]
pub(in crate::stores) struct MembersTarget {
    members: EtcdCluster,
    have_disks: bool,
    hit: Hit,
    common: Common,
}

impl MembersTarget {
    pub(in crate::stores) async fn start() -> Self {
        let have_disks = SmallDisk::available().is_ok();
        let builder = EtcdCluster::builder().with_args(SETTINGS).with_login(USER, PASSWORD, KEYS);
        let builder = if have_disks { builder.with_disk(DISK) } else { builder };
        let members = builder.start().await;
        let common = Common::of(members.operator_url(), Store::Etcd3.ttl());
        Self { members, have_disks, hit: Hit::default(), common }
    }

    /// Hits members, and tells which.
    async fn strike(&self, fault: &Aimed, blow: Blow, whom: Whom) -> String {
        // The fault before this one may have left an election behind.
        let leader = self.members.wait_for_leader(None).await;
        let follower = (leader + 1 + usize::from(fault.choice.is_multiple_of(2))) % self.members.count();
        let victims = match whom {
            Whom::Leader => vec![leader],
            Whom::Follower => vec![follower],
            Whom::Majority => vec![leader, follower],
            Whom::Any if fault.choice % 4 < 2 => vec![leader],
            Whom::Any => vec![follower],
        };
        let name = |member: &usize| format!("member {member}{}", if *member == leader { " (leader)" } else { "" });
        for member in &victims {
            self.hit.begin(blow, &self.members, *member);
        }
        victims.iter().map(name).collect::<Vec<_>>().join(" and ")
    }
}

#[async_trait]
impl Target for MembersTarget {
    fn store(&self) -> &str {
        "etcd-3"
    }

    fn servers(&self) -> Vec<SocketAddr> {
        (0..self.members.count()).map(|member| self.members.addr(member)).collect()
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        Common::address(servers)
    }

    fn client(&self) -> Box<dyn Connect> {
        self.common.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = BLOWS.map(|(name, ..)| Kind::new(name, Aim::Servers)).to_vec();
        kinds.extend(self.have_disks.then_some(FILL_DISK));
        kinds.extend(Common::kinds());
        kinds
    }

    async fn begin(&self, fault: &Aimed) -> String {
        if fault.kind == FILL_DISK {
            return self.strike(fault, Blow::FillDisk, Whom::Any).await;
        }
        if let Some((_, blow, whom)) = BLOWS.iter().find(|(name, ..)| *name == fault.kind.name) {
            return self.strike(fault, *blow, *whom).await;
        }
        if fault.kind.name == RESTART_AND_COMPACT {
            self.members.kill();
            return "all members".to_owned();
        }
        self.common.begin(fault).await
    }

    async fn end(&self, fault: &Aimed) {
        if self.hit.end(&self.members).await {
            return;
        }
        self.common.end(fault, &self.members).await;
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.common.count(namespace).await)
    }
}

#[async_trait]
impl Whole for EtcdCluster {
    fn kill(&self) {
        (0..self.count()).for_each(|member| self.node(member).kill());
    }

    async fn restart(&self) {
        self.restart_all().await;
    }

    async fn restore(&self, snapshot: EtcdSnapshot) {
        self.restore(snapshot).await;
    }
}

#[cfg(test)]
mod tests {
    use dlock_testkit::servers::Etcd;

    use super::*;
    use crate::stores::etcd::common::inflict;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_members_are_well_after_every_fault() {
        let Ok(()) = Etcd::installed() else { return };
        let target = MembersTarget::start().await;
        for kind in target.kinds() {
            inflict(&target, kind).await;
        }
    }
}
