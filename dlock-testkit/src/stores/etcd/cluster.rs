//! Three etcd members of a case's own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::EtcdSubject;
use crate::servers::EtcdCluster;
use crate::{Deployment, Starting, Subject, Trouble};

#[derive(Debug)]
struct EtcdMembers {
    members: EtcdCluster,
    subject: Arc<EtcdSubject>,
    trouble: Trouble,
    /// Those that are down.
    victims: Mutex<Vec<usize>>,
}

/// Members on which there can be this trouble, if there can be.
pub(super) fn alone(trouble: Trouble) -> Option<Starting> {
    match trouble {
        Trouble::LeaderKilled | Trouble::LeaderStopped | Trouble::MinorityDown | Trouble::MajorityDown => {}
        _ => return None,
    }
    Some(Box::pin(async move {
        let members = EtcdCluster::start().await;
        let subject = Arc::new(EtcdSubject::from_url(&members.url()).expect("a test server's url is good"));
        Box::new(EtcdMembers { members, subject, trouble, victims: Mutex::default() }) as Box<dyn Deployment>
    }))
}

impl EtcdMembers {
    fn victims(&self) -> MutexGuard<'_, Vec<usize>> {
        self.victims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Deployment for EtcdMembers {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        let leader = self.members.wait_for_leader(None).await;
        let other = (leader + 1) % self.members.count();
        let victims = match self.trouble {
            Trouble::MinorityDown => vec![other],
            Trouble::MajorityDown => vec![leader, other],
            _ => vec![leader],
        };
        for victim in &victims {
            let node = self.members.node(*victim);
            if self.trouble == Trouble::LeaderStopped { node.stop() } else { node.kill() }
        }
        *self.victims() = victims;
    }

    async fn end(&self) {
        let victims = std::mem::take(&mut *self.victims());
        match (self.trouble, &victims[..]) {
            (Trouble::LeaderStopped, [stopped]) => self.members.node(*stopped).resume(),
            // One cannot serve without the other.
            (Trouble::MajorityDown, _) => self.members.restart_all().await,
            (_, victims) => {
                for victim in victims {
                    self.members.restart(*victim).await;
                }
            }
        }
        self.members.wait_for_leader(None).await;
    }
}
