//! The servers of a topology, for a subject or for one case.

use std::net::SocketAddr;
use std::time::Duration;

use ::redis::Client;

use super::address::Address;
use super::operator::order;
use crate::Trouble;
use crate::servers::{Node, Redis, RedisBuilder, RedisCluster, RedisProgram, RedisSentinel, Skip};

/// The user whom clients are where they do not have all rights.
pub(super) const USER: &str = "locks";
pub(super) const PASSWORD: &str = "first";
/// Of the user who may do everything, where clients do not.
#[cfg(feature = "tls")]
const OPERATOR_PASSWORD: &str = "operator";

/// How long servers that are not to replace each other may keep each other waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// Servers that form a service, and how clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisTopology {
    /// One Redis server.
    Server,
    /// One Valkey server.
    Valkey,
    /// One Redis server on a unix socket.
    Socket,
    /// One Redis server that speaks TLS, to clients of which each logs in as a user with these rules,
    /// such as `["~t-*", "+@all"]`. Namespaces of the suite begin with `t-`.
    #[cfg(feature = "tls")]
    TlsAndUser(Vec<String>),
    /// Three Redis servers, of which one is the primary, watched by three sentinels.
    Sentinel,
    /// A Redis Cluster of three primaries with a replica each.
    Cluster,
}

impl RedisTopology {
    /// Whether it can be started here.
    pub(super) fn installed(&self) -> Result<(), Skip> {
        self.program().installed()
    }

    /// What a user may do that clients are to log in as.
    pub(super) fn rules(&self) -> Vec<String> {
        match self {
            #[cfg(feature = "tls")]
            Self::TlsAndUser(rules) => rules.clone(),
            _ => ["~*", "&*", "+@all"].map(str::to_owned).into(),
        }
    }

    fn program(&self) -> RedisProgram {
        if *self == Self::Valkey { RedisProgram::Valkey } else { RedisProgram::Redis }
    }

    /// To start the one server of a topology that has one.
    fn server(&self) -> RedisBuilder {
        let builder = Redis::builder().with_program(self.program());
        match self {
            Self::Socket => builder.on_unix_socket(),
            #[cfg(feature = "tls")]
            Self::TlsAndUser(rules) => {
                builder.with_tls().with_password(OPERATOR_PASSWORD).with_user(USER, PASSWORD, rules)
            }
            _ => builder,
        }
    }
}

/// Running servers.
#[derive(Debug)]
pub(super) enum Fleet {
    One(Redis),
    Sentinel(RedisSentinel),
    Cluster(RedisCluster),
}

impl Fleet {
    /// Starts those of a topology, for a trouble if there is to be one.
    pub(super) async fn start(topology: &RedisTopology, trouble: Option<Trouble>) -> Self {
        match (topology, trouble) {
            (RedisTopology::Sentinel, Some(trouble)) if fails_over(trouble) => {
                Self::Sentinel(RedisSentinel::start().await)
            }
            (RedisTopology::Sentinel, _) => {
                Self::Sentinel(RedisSentinel::builder().with_patience(PATIENCE).start().await)
            }
            (RedisTopology::Cluster, Some(trouble)) if fails_over(trouble) => {
                Self::Cluster(RedisCluster::start().await)
            }
            (RedisTopology::Cluster, _) => Self::Cluster(RedisCluster::builder().with_patience(PATIENCE).start().await),
            _ => {
                let server = match trouble {
                    Some(Trouble::Restart) => topology.server().append_only(),
                    Some(Trouble::ClockStep) => topology.server().with_steppable_clock(),
                    _ => topology.server(),
                };
                Self::One(server.start().await)
            }
        }
    }

    /// For clients.
    pub(super) fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Sentinel(servers) => servers.url(),
            Self::Cluster(nodes) => nodes.url(),
        }
    }

    /// For clients that log in as [`USER`].
    pub(super) fn url_with_login(&self) -> String {
        let url = self.url();
        match url.split_once("://") {
            Some((scheme, rest)) if !rest.contains('@') => format!("{scheme}://{USER}:{PASSWORD}@{rest}"),
            _ => url,
        }
    }

    /// For somebody who may do everything.
    pub(super) fn operator_url(&self) -> String {
        match self {
            Self::One(server) => server.operator_url(),
            _ => self.url(),
        }
    }

    /// To connect to each server that keeps keys, in their order, with all rights.
    pub(super) fn operators(&self) -> Vec<Client> {
        let urls: Vec<String> = match self {
            Self::One(server) => vec![server.operator_url()],
            _ => self.members().iter().map(|member| format!("redis://{}", member.addr())).collect(),
        };
        let client = |url: &String| {
            let address = Address::read(url).expect("a test server's url is good");
            address.client(&address.places[0]).expect("a test server's url is good")
        };
        urls.iter().map(client).collect()
    }

    /// Kills all servers.
    pub(super) fn kill(&self) {
        match self {
            Self::One(server) => server.kill(),
            Self::Sentinel(servers) => (0..servers.count()).for_each(|member| servers.node(member).kill()),
            Self::Cluster(nodes) => (0..nodes.count()).for_each(|member| nodes.node(member).kill()),
        }
    }

    /// Starts all servers again; returns when they serve.
    pub(super) async fn restart(&self) {
        match self {
            Self::One(server) => server.restart().await,
            Self::Sentinel(servers) => servers.restart_all().await,
            Self::Cluster(nodes) => nodes.restart_all().await,
        }
        self.wait_until_served().await;
    }

    /// Waits until there is a server that takes writes, for each key.
    pub(super) async fn wait_until_served(&self) {
        match self {
            Self::One(_) => {}
            Self::Sentinel(servers) => {
                servers.wait_for_primary(None).await;
            }
            Self::Cluster(nodes) => nodes.wait_until_ok().await,
        }
    }

    /// Of several: where clients reach each, and where it is known to the others, who tell clients so.
    pub(super) fn places(&self) -> Vec<(SocketAddr, SocketAddr)> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Sentinel(servers) => {
                (0..servers.count()).map(|member| (servers.addr(member), servers.announced(member))).collect()
            }
            Self::Cluster(nodes) => {
                (0..nodes.count()).map(|member| (nodes.addr(member), nodes.announced(member))).collect()
            }
        }
    }

    /// Those of several that keep keys.
    pub(super) fn members(&self) -> Vec<&Node> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Sentinel(servers) => servers.servers().map(|member| servers.node(member)).collect(),
            Self::Cluster(nodes) => (0..nodes.count()).map(|member| nodes.node(member)).collect(),
        }
    }
}

/// Whether it takes other servers to notice that some are gone.
fn fails_over(trouble: Trouble) -> bool {
    matches!(trouble, Trouble::LeaderKilled | Trouble::LeaderStopped | Trouble::MinorityDown | Trouble::MajorityDown)
}

/// Lets clients log in as [`USER`], at each of these servers.
pub(super) async fn add_user(operators: &[Client], rules: &[String]) {
    let password = format!(">{PASSWORD}");
    let rules = rules.iter().map(String::as_str);
    let words: Vec<&str> = ["ACL", "SETUSER", USER, "reset", "on", &password].into_iter().chain(rules).collect();
    for operator in operators {
        order::<()>(operator, &words).await.expect("the server obeys its operator");
    }
}
