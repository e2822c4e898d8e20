//! An etcd server of a case's own.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, ConnectOptions, Error as EtcdError, Permission};

use super::{EtcdSubject, cluster};
use crate::servers::Etcd;
use crate::{Deployment, Refusal, Starting, Subject, Trouble};

/// The user of the clients, and the role that lets it use all keys.
const USER: &str = "locks";
const PASSWORD: &str = "first";
const OTHER_PASSWORD: &str = "second";
const ROOT: &str = "root";

struct EtcdAlone {
    server: Etcd,
    subject: Arc<EtcdSubject>,
    /// Connected before the trouble, with all rights.
    operator: Client,
    trouble: Trouble,
}

/// A server, or members, on which there can be this trouble.
pub(super) fn alone(trouble: Trouble) -> Option<Starting> {
    match trouble {
        Trouble::Restart | Trouble::EndedSessions => {}
        Trouble::Refusal(Refusal::Login | Refusal::Permission | Refusal::Full) => {}
        other => return cluster::alone(other),
    }
    Some(Box::pin(async move {
        let server = Etcd::start().await;
        let logs_in = matches!(trouble, Trouble::Refusal(Refusal::Login | Refusal::Permission));
        let operator = if logs_in { log_in(&server).await } else { Client::connect([server.endpoint()], None).await };
        let operator = operator.expect("a server that has just been started obeys");
        let login = if logs_in { format!("{USER}:{PASSWORD}@") } else { String::new() };
        let subject = EtcdSubject::from_url(&format!("etcd://{login}{}", server.addr()));
        let subject = Arc::new(subject.expect("a test server's url is good"));
        Box::new(EtcdAlone { server, subject, operator, trouble }) as Box<dyn Deployment>
    }))
}

/// Makes the server ask for logins, and answers a connection of its root user.
async fn log_in(server: &Etcd) -> Result<Client, EtcdError> {
    let mut etcd = Client::connect([server.endpoint()], None).await?;
    etcd.role_add(USER).await?;
    etcd.role_grant_permission(USER, Permission::read_write("").with_all_keys()).await?;
    etcd.user_add(USER, PASSWORD, None).await?;
    etcd.user_grant_role(USER, USER).await?;
    etcd.user_add(ROOT, ROOT, None).await?;
    etcd.user_grant_role(ROOT, ROOT).await?;
    etcd.auth_enable().await?;
    Client::connect([server.endpoint()], Some(ConnectOptions::new().with_user(ROOT, ROOT))).await
}

impl EtcdAlone {
    async fn end_sessions(&self) -> Result<(), EtcdError> {
        let mut etcd = self.operator.clone();
        for lease in etcd.leases().await?.leases() {
            etcd.lease_revoke(lease.id()).await?;
        }
        Ok(())
    }

    /// As the server does when its database has reached its quota.
    async fn set_full(&self, action: AlarmAction) -> Result<(), EtcdError> {
        let mut etcd = self.operator.clone();
        let member = etcd.status().await?.header().map_or(0, |header| header.member_id());
        let mut options = AlarmOptions::new();
        options.with_member(member);
        etcd.alarm(action, AlarmType::Nospace, Some(options)).await.map(|_| ())
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
}

#[async_trait]
impl Deployment for EtcdAlone {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        match self.trouble {
            Trouble::Restart => self.server.kill(),
            _ => self.change(true).await.expect("the server obeys its operator"),
        }
    }

    async fn end(&self) {
        match self.trouble {
            Trouble::Restart => self.server.restart().await,
            _ => self.change(false).await.expect("the server obeys its operator"),
        }
    }

    fn ends_claims(&self) -> bool {
        // Claims live by their leases.
        self.trouble == Trouble::EndedSessions
    }
}

impl fmt::Debug for EtcdAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdAlone")
            .field("server", &self.server)
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}
