//! The servers of a topology, for a subject or for one case.

use etcd_client::Client;

use crate::servers::{Etcd, EtcdBuilder, EtcdCluster, EtcdVersion, Skip};
use crate::{Refusal, Trouble};

/// The user whom clients are where they are asked, and the name of its role.
pub(super) const USER: &str = "locks";
pub(super) const PASSWORD: &str = "first";
/// What all namespaces of the suite begin with.
#[cfg(feature = "tls")]
const NAMESPACES: &str = "t-";

/// Servers that form a service, and how clients reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdTopology {
    /// One server of the installed version.
    Single,
    /// One server of version 3.5.
    V3_5,
    /// Three members of the installed version.
    Members,
    /// One server that speaks TLS to clients which show a certificate, and of which each logs in as
    /// a user who may read and write the keys of the suite's namespaces, and nothing else.
    #[cfg(feature = "tls")]
    TlsLogin,
}

impl EtcdTopology {
    /// Whether it can be started here.
    pub(super) fn installed(self) -> Result<(), Skip> {
        self.version().installed()
    }

    fn version(self) -> EtcdVersion {
        if self == Self::V3_5 { EtcdVersion::V3_5 } else { EtcdVersion::Installed }
    }

    /// To start the one server of a topology that has one.
    fn server(self) -> EtcdBuilder {
        let builder = Etcd::builder().with_version(self.version());
        match self {
            // The certificate is another user's: the login counts.
            #[cfg(feature = "tls")]
            Self::TlsLogin => builder.with_tls_both_ways("nobody").with_login(USER, PASSWORD, NAMESPACES),
            _ => builder,
        }
    }

    fn asks_for_logins(self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::TlsLogin => true,
            _ => false,
        }
    }
}

/// Running servers.
#[derive(Debug)]
pub(super) enum Fleet {
    One(Etcd),
    Three(EtcdCluster),
}

impl Fleet {
    /// Starts those of a topology, for a trouble if there is to be one.
    pub(super) async fn start(topology: EtcdTopology, trouble: Option<Trouble>) -> Self {
        let is_refused = matches!(trouble, Some(Trouble::Refusal(Refusal::Login | Refusal::Permission)));
        let adds_login = is_refused && !topology.asks_for_logins();
        if topology == EtcdTopology::Members {
            let builder = EtcdCluster::builder();
            let builder = if adds_login { builder.with_login(USER, PASSWORD, "") } else { builder };
            return Self::Three(builder.start().await);
        }
        let builder = topology.server();
        let builder = if adds_login { builder.with_login(USER, PASSWORD, "") } else { builder };
        Self::One(builder.start().await)
    }

    /// For clients.
    pub(super) fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Three(members) => members.url(),
        }
    }

    /// A connection for somebody who may do everything.
    pub(super) async fn operator(&self) -> Client {
        match self {
            Self::One(server) => server.operator().await,
            Self::Three(members) => members.operator().await,
        }
    }

    /// Kills all servers.
    pub(super) fn kill(&self) {
        match self {
            Self::One(server) => server.kill(),
            Self::Three(members) => (0..members.count()).for_each(|member| members.node(member).kill()),
        }
    }

    /// Starts all servers again; returns when they serve.
    pub(super) async fn restart(&self) {
        match self {
            Self::One(server) => server.restart().await,
            Self::Three(members) => members.restart_all().await,
        }
    }

    /// Those of several.
    pub(super) fn members(&self) -> &EtcdCluster {
        match self {
            Self::Three(members) => members,
            Self::One(_) => unreachable!("no trouble with members is offered on one server"),
        }
    }
}
