//! An etcd cluster, of one member or three.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind, Target};
use dlock_testkit::servers::{Etcd, EtcdCluster, Node, SmallDisk};
use dlock_testkit::stores;
use etcd_client::Client;

use super::FILL_DISK;
use super::entries::Entries;

const STOP: &str = "stop server";
const RESTART: &str = "restart server";
const STOP_LEADER: &str = "stop leader";
const KILL_LEADER: &str = "kill leader";
const ISOLATE_LEADER: &str = "isolate leader";
const STOP_FOLLOWER: &str = "stop follower";
const KILL_FOLLOWER: &str = "kill follower";
const ISOLATE_FOLLOWER: &str = "isolate follower";
const STOP_MAJORITY: &str = "stop majority";
const REVOKE_LEASES: &str = "revoke leases";

/// How much the disk of a single member takes: its log is allocated in pieces of 64 MB.
const DISK: u64 = 512 << 20;

#[derive(Debug)]
pub(super) struct EtcdTarget {
    cluster: Cluster,
    entries: Entries,
    /// Which members the present fault hit.
    hit: Mutex<Vec<usize>>,
}

#[derive(Debug)]
enum Cluster {
    /// With a disk that can be filled, or without.
    One(Etcd, bool),
    Three(EtcdCluster),
}

impl EtcdTarget {
    pub(super) async fn start_one() -> Self {
        let has_disk = SmallDisk::available().is_ok();
        let builder = Etcd::builder();
        let builder = if has_disk { builder.with_disk(DISK) } else { builder };
        Self::of(Cluster::One(builder.start().await, has_disk))
    }

    pub(super) async fn start_three() -> Self {
        Self::of(Cluster::Three(EtcdCluster::start().await))
    }

    fn of(cluster: Cluster) -> Self {
        let entries = Entries::of(stores::open(&cluster.url()).expect("the cluster's url is good"));
        Self { cluster, entries, hit: Mutex::default() }
    }

    async fn revoke_leases(&self) -> String {
        let mut client = Client::connect(self.cluster.endpoints(), None).await.expect("the cluster is there");
        let leases = client.leases().await.expect("the cluster obeys");
        for lease in leases.leases() {
            // One that ends in this moment is none any more.
            let _ = client.lease_revoke(lease.id()).await;
        }
        format!("{} leases", leases.leases().len())
    }

    /// Remembers for the fault's end who was hit.
    fn hit(&self, members: &[usize]) {
        *self.hit.lock().unwrap_or_else(PoisonError::into_inner) = members.to_vec();
    }

    fn was_hit(&self) -> Vec<usize> {
        std::mem::take(&mut *self.hit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Target for EtcdTarget {
    fn store(&self) -> &str {
        match self.cluster {
            Cluster::One(..) => "etcd",
            Cluster::Three(_) => "etcd-3",
        }
    }

    fn servers(&self) -> Vec<SocketAddr> {
        (0..self.cluster.size()).map(|member| self.cluster.node(member).addr()).collect()
    }

    fn address(&self, servers: &[SocketAddr]) -> String {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        format!("etcd://{}", servers.join(","))
    }

    fn client(&self) -> Box<dyn Connect> {
        self.entries.client()
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |name| Kind::new(name, Aim::Servers);
        let own: &[&str] = match self.cluster {
            Cluster::One(..) => &[STOP, RESTART],
            Cluster::Three(_) => &[
                STOP_LEADER,
                KILL_LEADER,
                ISOLATE_LEADER,
                STOP_FOLLOWER,
                KILL_FOLLOWER,
                ISOLATE_FOLLOWER,
                STOP_MAJORITY,
            ],
        };
        let mut kinds: Vec<Kind> = own.iter().copied().map(kind).collect();
        kinds.extend(matches!(self.cluster, Cluster::One(_, true)).then_some(FILL_DISK));
        kinds.push(Kind::new(REVOKE_LEASES, Aim::ServersOnce).breaking_exclusion());
        kinds.extend(Entries::kinds());
        kinds
    }

    async fn begin(&self, fault: &Aimed) -> String {
        // The fault before this one may have left an election behind.
        let leader = self.cluster.leader().await;
        let size = self.cluster.size();
        let follower = (leader + 1 + usize::from(fault.choice.is_multiple_of(2))) % size;
        let node = |member| self.cluster.node(member);
        match fault.kind.name {
            _ if fault.kind == FILL_DISK => {
                self.hit(&[leader]);
                node(leader).fill_disk();
            }
            STOP | STOP_LEADER => {
                self.hit(&[leader]);
                node(leader).stop();
            }
            RESTART | KILL_LEADER => {
                self.hit(&[leader]);
                node(leader).kill();
            }
            STOP_FOLLOWER => {
                self.hit(&[follower]);
                node(follower).stop();
            }
            KILL_FOLLOWER => {
                self.hit(&[follower]);
                node(follower).kill();
            }
            ISOLATE_LEADER => {
                self.hit(&[leader]);
                self.cluster.isolate(leader);
            }
            ISOLATE_FOLLOWER => {
                self.hit(&[follower]);
                self.cluster.isolate(follower);
            }
            STOP_MAJORITY => {
                self.hit(&[leader, follower]);
                node(leader).stop();
                node(follower).stop();
                return format!("members {leader} (leader) and {follower}");
            }
            REVOKE_LEASES => return self.revoke_leases().await,
            _ => return self.entries.begin(fault).await,
        }
        let is_followers = [STOP_FOLLOWER, KILL_FOLLOWER, ISOLATE_FOLLOWER].contains(&fault.kind.name);
        if is_followers { format!("member {follower}") } else { format!("member {leader} (leader)") }
    }

    async fn end(&self, fault: &Aimed) {
        for member in self.was_hit() {
            match fault.kind.name {
                // It has ended when it could not write.
                _ if fault.kind == FILL_DISK => {
                    self.cluster.node(member).free_disk();
                    self.cluster.restart(member).await;
                }
                RESTART | KILL_LEADER | KILL_FOLLOWER => self.cluster.restart(member).await,
                ISOLATE_LEADER | ISOLATE_FOLLOWER => self.cluster.rejoin(member),
                _ => self.cluster.node(member).resume(),
            }
        }
        self.entries.end(fault).await;
    }

    async fn entries(&self, namespace: &Namespace) -> Option<u64> {
        Some(self.entries.count(namespace).await)
    }
}

impl Cluster {
    fn url(&self) -> String {
        match self {
            Self::One(one, _) => one.url(),
            Self::Three(three) => three.url(),
        }
    }

    fn endpoints(&self) -> Vec<String> {
        match self {
            Self::One(one, _) => vec![one.endpoint()],
            Self::Three(three) => three.endpoints(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Three(three) => three.count(),
        }
    }

    fn node(&self, member: usize) -> &Node {
        match self {
            Self::One(one, _) => one,
            Self::Three(three) => three.node(member),
        }
    }

    /// The member that leads, once there is one.
    async fn leader(&self) -> usize {
        match self {
            Self::One(..) => 0,
            Self::Three(three) => three.wait_for_leader(None).await,
        }
    }

    fn isolate(&self, member: usize) {
        if let Self::Three(three) = self {
            three.isolate(member);
        }
    }

    fn rejoin(&self, member: usize) {
        if let Self::Three(three) = self {
            three.rejoin(member);
        }
    }

    async fn restart(&self, member: usize) {
        match self {
            Self::One(one, _) => one.restart().await,
            Self::Three(three) => three.restart(member).await,
        }
    }
}
