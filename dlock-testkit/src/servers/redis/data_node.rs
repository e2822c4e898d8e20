//! How one Redis server is run.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::RedisProgram;
use super::ask::{exchange, exchange_at};
use super::entrance::Entrance;
#[cfg(feature = "tls")]
use crate::servers::certificates::Certificates;
use crate::servers::clock;
use crate::servers::node::{Recipe, Site};

/// Where sentinels make a server write down whom it follows.
const CONFIG: &str = "redis.conf";
/// What clients that show a certificate are called in it.
#[cfg(feature = "tls")]
const CLIENT: &str = "dlock-client";

/// One server that keeps keys.
#[derive(Clone, Debug, Default)]
pub(super) struct DataNode {
    pub(super) program: RedisProgram,
    pub(super) args: Vec<String>,
    pub(super) is_append_only: bool,
    pub(super) entrance: Entrance,
    pub(super) password: Option<String>,
    pub(super) users: Vec<User>,
    pub(super) has_own_clock: bool,
    pub(super) disk: Option<u64>,
    pub(super) place: Place,
}

/// Somebody who may log in, besides the default user.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
    /// What it may do (redis.io/docs, ACL).
    pub(super) rules: Vec<String>,
}

/// What a server is to others.
#[derive(Clone, Debug, Default)]
pub(super) enum Place {
    /// Nothing.
    #[default]
    Alone,
    /// One that sentinels watch.
    Watched {
        /// Which one it is.
        member: usize,
        /// The port at which others know it.
        announced: u16,
        /// Whom it follows at first.
        primary: Option<u16>,
    },
    /// A node of a cluster.
    Cluster {
        /// Which one it is.
        member: usize,
        /// The port at which others know it.
        announced: u16,
        /// That of its connections to other nodes.
        announced_bus: u16,
        /// How long others wait for it.
        patience: Duration,
    },
}

impl Place {
    /// Members tell each other from clients by the address from which they dial.
    fn source(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Alone => None,
            Self::Watched { member, .. } | Self::Cluster { member, .. } => Some(source_of(*member)),
        }
    }

    fn args(&self, site: &Site<'_>) -> Vec<String> {
        let settings = match self {
            Self::Alone => Vec::new(),
            Self::Watched { announced, .. } => vec![
                ("replica-announce-ip", "127.0.0.1".to_owned()),
                ("replica-announce-port", announced.to_string()),
                // A replica that connects is served at once.
                ("repl-diskless-sync-delay", "0".to_owned()),
            ],
            Self::Cluster { announced, announced_bus, patience, .. } => vec![
                ("cluster-enabled", "yes".to_owned()),
                ("cluster-port", site.ports[1].to_string()),
                ("cluster-node-timeout", patience.as_millis().to_string()),
                ("cluster-announce-ip", "127.0.0.1".to_owned()),
                ("cluster-announce-port", announced.to_string()),
                ("cluster-announce-bus-port", announced_bus.to_string()),
                ("repl-diskless-sync-delay", "0".to_owned()),
            ],
        };
        let source = self.source().map(|source| ("bind-source-addr", source.to_string()));
        settings.into_iter().chain(source).flat_map(|(name, value)| [format!("--{name}"), value]).collect()
    }
}

/// An address of the loopback interface from which only this member dials.
pub(super) fn source_of(member: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(member + 1).expect("a cluster has few members"))
}

impl Recipe for DataNode {
    fn kind(&self) -> &'static str {
        "redis"
    }

    /// One for clients, and in a cluster one for other nodes.
    fn port_count(&self) -> usize {
        if matches!(self.place, Place::Cluster { .. }) { 2 } else { 1 }
    }

    fn disk(&self) -> Option<u64> {
        self.disk
    }

    fn source(&self) -> Option<IpAddr> {
        self.place.source().map(IpAddr::V4)
    }

    fn furnish(&self, site: &Site<'_>) -> io::Result<()> {
        let config = site.dir.join(CONFIG);
        if let Place::Watched { primary, .. } = self.place
            && !config.exists()
        {
            fs::write(config, primary.map(|port| format!("replicaof 127.0.0.1 {port}\n")).unwrap_or_default())?;
        }
        #[cfg(feature = "tls")]
        if let Entrance::Tls { .. } = self.entrance {
            Certificates::in_dir(site.dir).furnish(CLIENT)?;
        }
        if self.has_own_clock { clock::furnish(site.dir) } else { Ok(()) }
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let mut command = self.program.program().command();
        command.current_dir(site.dir);
        if matches!(self.place, Place::Watched { .. }) {
            command.arg(CONFIG);
        }
        command.args(["--bind", "127.0.0.1", "--save", ""]).args(self.entrance.args(site));
        command.args(["--dir", if self.disk.is_some() { Site::DATA } else { "." }]);
        if self.is_append_only {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        for user in &self.users {
            command.args(["--user", &user.name, "reset", "on", &format!(">{}", user.password)]).args(&user.rules);
        }
        if self.has_own_clock {
            clock::preload(&mut command, site.dir);
        }
        command.args(self.place.args(site)).args(&self.args);
        command
    }

    /// Whoever answers must give this process's id: another server may have the port. And `INFO`
    /// is answered while the data is still being loaded, when `PING` is refused.
    fn probe(&self, site: &Site<'_>, pid: u32) -> Result<(), String> {
        let login = self.password.iter().map(|password| format!("AUTH {password}\r\n")).collect::<String>();
        let questions = format!("{login}PING\r\nINFO server");
        let answer = match self.entrance.socket(site.dir) {
            Some(socket) => exchange_at(&socket, &questions),
            None => exchange(SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0])), &questions),
        };
        let answer = answer.map_err(|error| format!("it does not answer: {error}"))?;
        let process = format!("process_id:{pid}");
        let has = |wanted: &str| answer.lines().any(|line| line == wanted);
        if has(&process) && has("+PONG") { Ok(()) } else { Err(format!("it answered {answer:?}")) }
    }
}
