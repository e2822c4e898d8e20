//! etcd servers of a case's own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, Error as EtcdError};

use super::EtcdSubject;
use super::fleet::{EtcdTopology, Fleet, PASSWORD, USER};
use crate::{Deployment, Refusal, Starting, Subject, Trouble};

const OTHER_PASSWORD: &str = "second";
/// A number that no member has: who is full does not matter, the cluster takes no writes.
const SOMEBODY: u64 = 1;

struct EtcdAlone {
    fleet: Fleet,
    subject: Arc<EtcdSubject>,
    /// Connected before the trouble, with all rights.
    operator: Client,
    trouble: Trouble,
    /// The members that are down or stopped.
    victims: Mutex<Vec<usize>>,
}

/// Servers on which there can be this trouble, if there can be on such.
pub(super) fn alone(topology: EtcdTopology, trouble: Trouble) -> Option<Starting> {
    let is_offered = match trouble {
        Trouble::Restart | Trouble::EndedSessions => true,
        Trouble::Refusal(refusal) => matches!(refusal, Refusal::Login | Refusal::Permission | Refusal::Full),
        Trouble::LeaderKilled | Trouble::LeaderStopped | Trouble::MinorityDown | Trouble::MajorityDown => {
            topology == EtcdTopology::Members
        }
        _ => false,
    };
    is_offered.then(|| Box::pin(start(topology, trouble)) as Starting)
}

async fn start(topology: EtcdTopology, trouble: Trouble) -> Box<dyn Deployment> {
    let fleet = Fleet::start(topology, Some(trouble)).await;
    let subject = Arc::new(EtcdSubject::from_url(&fleet.url()).expect("a test server's url is good"));
    let operator = fleet.operator().await;
    Box::new(EtcdAlone { fleet, subject, operator, trouble, victims: Mutex::default() })
}

impl EtcdAlone {
    async fn end_sessions(&self) -> Result<(), EtcdError> {
        let mut etcd = self.operator.clone();
        for lease in etcd.leases().await?.leases() {
            etcd.lease_revoke(lease.id()).await?;
        }
        Ok(())
    }

    /// As a member does when its database has reached its quota.
    async fn set_full(&self, action: AlarmAction) -> Result<(), EtcdError> {
        let mut options = AlarmOptions::new();
        options.with_member(SOMEBODY);
        self.operator.clone().alarm(action, AlarmType::Nospace, Some(options)).await.map(|_| ())
    }

    async fn change(&self, begins: bool) -> Result<(), EtcdError> {
        let mut etcd = self.operator.clone();
        match (self.trouble, begins) {
            (Trouble::EndedSessions, true) => self.end_sessions().await?,
            (Trouble::Refusal(Refusal::Login), _) => {
                let password = if begins { OTHER_PASSWORD } else { PASSWORD };
                etcd.user_change_password(USER, password).await?;
            }
            (Trouble::Refusal(Refusal::Permission), true) => {
                etcd.user_revoke_role(USER, USER).await?;
            }
            (Trouble::Refusal(Refusal::Permission), false) => {
                etcd.user_grant_role(USER, USER).await?;
            }
            (Trouble::Refusal(Refusal::Full), true) => self.set_full(AlarmAction::Activate).await?,
            (Trouble::Refusal(Refusal::Full), false) => self.set_full(AlarmAction::Deactivate).await?,
            _ => {}
        }
        Ok(())
    }

    async fn take_members(&self) {
        let members = self.fleet.members();
        let leader = members.wait_for_leader(None).await;
        let other = (leader + 1) % members.count();
        let victims = match self.trouble {
            Trouble::MinorityDown => vec![other],
            Trouble::MajorityDown => vec![leader, other],
            _ => vec![leader],
        };
        for victim in &victims {
            let node = members.node(*victim);
            if self.trouble == Trouble::LeaderStopped { node.stop() } else { node.kill() }
        }
        *self.victims() = victims;
    }

    async fn give_members_back(&self) {
        let members = self.fleet.members();
        let victims = std::mem::take(&mut *self.victims());
        match (self.trouble, &victims[..]) {
            (Trouble::LeaderStopped, [stopped]) => members.node(*stopped).resume(),
            // One cannot serve without the other.
            (Trouble::MajorityDown, _) => members.restart_all().await,
            (_, victims) => {
                for victim in victims {
                    members.restart(*victim).await;
                }
            }
        }
        members.wait_for_leader(None).await;
    }

    fn victims(&self) -> MutexGuard<'_, Vec<usize>> {
        self.victims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Deployment for EtcdAlone {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        match self.trouble {
            Trouble::Restart => self.fleet.kill(),
            Trouble::EndedSessions | Trouble::Refusal(_) => {
                self.change(true).await.expect("the server obeys its operator");
            }
            _ => self.take_members().await,
        }
    }

    async fn end(&self) {
        match self.trouble {
            Trouble::Restart => self.fleet.restart().await,
            Trouble::EndedSessions | Trouble::Refusal(_) => {
                self.change(false).await.expect("the server obeys its operator");
            }
            _ => self.give_members_back().await,
        }
    }

    fn ends_claims(&self) -> bool {
        // Claims live by their leases.
        self.trouble == Trouble::EndedSessions
    }
}

impl fmt::Debug for EtcdAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdAlone").field("fleet", &self.fleet).field("trouble", &self.trouble).finish_non_exhaustive()
    }
}
