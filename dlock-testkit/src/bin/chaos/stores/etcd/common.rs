//! What can be done to an etcd cluster however many members it has.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, Namespace};
use dlock_testkit::chaos::{Aim, Aimed, Kind};
use dlock_testkit::servers::EtcdSnapshot;
use dlock_testkit::stores;
use etcd_client::{Client, Error};
use tokio::time::sleep;

use super::operator::Operator;
use crate::stores::entries::Entries;

/// The server, or all members, are killed and started again, and the operator compacts before
/// clients have caught up.
pub(super) const RESTART_AND_COMPACT: &str = "restart and compact";
const RESTORE: &str = "restore snapshot";
/// The same, and nothing serves for a ttl before.
const RESTORE_LATER: &str = "restore snapshot later";
const COMPACT: &str = "compact";
const REVOKE_LEASES: &str = "revoke leases";
const REVOKE_RIGHTS: &str = "revoke rights";
const CHANGE_PASSWORD: &str = "change password";

/// Whom the workers log in as; its role has the same name.
pub(super) const USER: &str = "worker";
pub(super) const PASSWORD: &str = "first";
const OTHER_PASSWORD: &str = "second";
/// What their keys begin with: those of the runs' namespace, and those of etcd's own lock.
pub(super) const KEYS: &str = "chaos";
/// The members' settings: the lab logs in often.
pub(super) const SETTINGS: [&str; 2] = ["--bcrypt-cost", "4"];

/// How much a member's disk takes: its log is allocated in pieces of 64 MB.
pub(super) const DISK: u64 = 512 << 20;

/// A key that has nothing to do with locks.
const ELSEWHERE: &str = "operator/moves";
/// How often an operator compacts in a row, and the time between.
const COMPACTIONS: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(100);

/// The faults that all clusters have.
#[derive(Debug)]
pub(super) struct Common {
    operator: Operator,
    entries: Entries,
    /// For how long clients may believe in what the cluster does not know any more.
    ttl: Duration,
    /// What the cluster is to be restored from at the end of the present fault.
    snapshot: Mutex<Option<EtcdSnapshot>>,
}

/// A cluster that is ended and begun as a whole.
#[async_trait]
pub(super) trait Whole: Sync {
    /// Kills all of it.
    fn kill(&self);

    /// Starts it again with its data.
    async fn restart(&self);

    /// Ends it, and starts it with that data.
    async fn restore(&self, snapshot: EtcdSnapshot);
}

impl Common {
    /// For the cluster that root reaches by `url`.
    pub(super) fn of(url: String, ttl: Duration) -> Self {
        let entries = Entries::of(stores::open(&url).expect("the cluster's url is good"));
        Self { operator: Operator::at(url), entries, ttl, snapshot: Mutex::default() }
    }

    /// What workers connect to.
    pub(super) fn address(servers: &[SocketAddr]) -> String {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        format!("etcd://{USER}:{PASSWORD}@{}", servers.join(","))
    }

    pub(super) fn client(&self) -> Box<dyn Connect> {
        self.entries.client()
    }

    pub(super) fn kinds() -> Vec<Kind> {
        let mut kinds = vec![
            Kind::new(COMPACT, Aim::ServersOnce),
            Kind::new(REVOKE_LEASES, Aim::ServersOnce).breaking_exclusion(),
            Kind::new(REVOKE_RIGHTS, Aim::Servers),
            Kind::new(CHANGE_PASSWORD, Aim::Servers),
            Kind::new(RESTART_AND_COMPACT, Aim::Servers),
        ];
        if EtcdSnapshot::available().is_ok() {
            // Who was granted after the snapshot holds on, while the restored cluster, which knows
            // nothing of it, may grant to others. Once a ttl is over, nobody holds on any more.
            let restore = Kind::new(RESTORE, Aim::Servers).taking_history();
            kinds.extend([restore.breaking_exclusion(), Kind { name: RESTORE_LATER, ..restore }]);
        }
        kinds.extend(Entries::kinds());
        kinds
    }

    pub(super) async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            COMPACT => self.compact().await,
            REVOKE_LEASES => self.revoke_leases().await,
            REVOKE_RIGHTS => {
                self.operator.tell(revoke_role).await;
                USER.to_owned()
            }
            CHANGE_PASSWORD => {
                self.set_password(OTHER_PASSWORD).await;
                USER.to_owned()
            }
            RESTORE | RESTORE_LATER => {
                *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(self.operator.tell(EtcdSnapshot::take).await);
                "the cluster".to_owned()
            }
            _ => self.entries.begin(fault).await,
        }
    }

    pub(super) async fn end(&self, fault: &Aimed, cluster: &impl Whole) {
        match fault.kind.name {
            RESTART_AND_COMPACT => {
                cluster.restart().await;
                self.compact().await;
            }
            RESTORE => cluster.restore(self.taken_snapshot()).await,
            RESTORE_LATER => {
                cluster.kill();
                sleep(self.ttl).await;
                cluster.restore(self.taken_snapshot()).await;
            }
            REVOKE_RIGHTS => {
                self.operator.tell(|mut etcd| async move { etcd.user_grant_role(USER, USER).await }).await;
            }
            CHANGE_PASSWORD => self.set_password(PASSWORD).await,
            _ => self.entries.end(fault).await,
        }
    }

    /// What [`Common::begin`] has taken for a restore.
    fn taken_snapshot(&self) -> EtcdSnapshot {
        let taken = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.expect("a restore begins with a snapshot")
    }

    /// The history goes on elsewhere, and is compacted up to now, a few times.
    async fn compact(&self) -> String {
        let mut now = 0;
        for _ in 0..COMPACTIONS {
            now = self.operator.tell(compact).await;
            sleep(BETWEEN).await;
        }
        format!("up to revision {now}")
    }

    pub(super) async fn count(&self, namespace: &Namespace) -> u64 {
        self.entries.count(namespace).await
    }

    /// With it, all tokens of the user end.
    async fn set_password(&self, password: &'static str) {
        self.operator.tell(move |mut etcd| async move { etcd.user_change_password(USER, password).await }).await;
    }

    async fn revoke_leases(&self) -> String {
        let count = self.operator.tell(revoke_leases).await;
        format!("{count} leases")
    }
}

async fn compact(mut etcd: Client) -> Result<i64, Error> {
    let put = etcd.put(ELSEWHERE, "", None).await?;
    let now = put.header().map_or(0, |header| header.revision());
    etcd.compact(now, None).await?;
    Ok(now)
}

async fn revoke_leases(mut etcd: Client) -> Result<usize, Error> {
    let leases = etcd.leases().await?;
    for lease in leases.leases() {
        // One that ends in this moment is none any more.
        let _ = etcd.lease_revoke(lease.id()).await;
    }
    Ok(leases.leases().len())
}

async fn revoke_role(mut etcd: Client) -> Result<(), Error> {
    let user = etcd.user_get(USER).await?;
    if user.roles().iter().any(|role| role == USER) {
        etcd.user_revoke_role(USER, USER).await?;
    }
    Ok(())
}

/// Makes a fault of servers, and sees that a worker is served after it.
#[cfg(test)]
pub(super) async fn inflict(target: &dyn dlock_testkit::chaos::Target, kind: Kind) {
    let (namespace, name): (Namespace, dlock_core::LockName) = (KEYS.parse().unwrap(), "a".parse().unwrap());
    let fault = Aimed { kind, choice: 0x1234_5678_9abc_def0, namespace, name };
    let whom = target.begin(&fault).await;
    assert!(!whom.is_empty());
    if kind.aim != Aim::ServersOnce {
        target.end(&fault).await;
    }
    let worker = stores::open(&target.address(&target.servers())).unwrap();
    let locks = dlock_testkit::chaos::connect(|| worker.client(), &fault.namespace).await.unwrap();
    let acquire = async || locks.lock(fault.name.clone())?.acquire().await;
    crate::stores::patience::until(acquire).await.release().await.unwrap();
    locks.close().await.unwrap();
    eprintln!("{}: {whom}", kind.name);
}
