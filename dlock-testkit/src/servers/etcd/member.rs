//! How one member of an etcd cluster is run.

use std::fs;
use std::io;
use std::process::Command;

use super::EtcdVersion;
use super::ask::{SOCKET, ask};
use super::entrance::Entrance;
#[cfg(feature = "tls")]
use crate::servers::certificates::Certificates;
use crate::servers::node::{Recipe, Site};

/// What the certificate calls clients that are not to be known by it.
#[cfg(feature = "tls")]
const CLIENT: &str = "dlock-client";

/// One etcd process, of a cluster or alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub(super) version: EtcdVersion,
    pub(super) args: Vec<String>,
    pub(super) entrance: Entrance,
    pub(super) disk: Option<u64>,
    /// `None` for a cluster of one, which nobody else knows.
    pub(super) place: Option<Place>,
}

/// Which member of which cluster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Random: no other cluster of this machine has it.
    pub(super) cluster: String,
    pub(super) member: usize,
    /// The ports at which members know each other.
    pub(super) peers: Vec<u16>,
}

impl Member {
    /// The place in the cluster. Alone, the name is that of the directory, which is random.
    fn place(&self, site: &Site<'_>) -> Place {
        self.place.clone().unwrap_or_else(|| Place {
            cluster: site.dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            member: 0,
            peers: vec![site.ports[1]],
        })
    }
}

impl Place {
    fn name(&self, member: usize) -> String {
        format!("{}-{member}", self.cluster)
    }

    fn members(&self) -> String {
        let member = |(member, port): (usize, &u16)| format!("{}={}", self.name(member), url(*port));
        self.peers.iter().enumerate().map(member).collect::<Vec<_>>().join(",")
    }
}

impl Recipe for Member {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    /// One for clients and one for peers.
    fn port_count(&self) -> usize {
        2
    }

    fn disk(&self) -> Option<u64> {
        self.disk
    }

    fn furnish(&self, site: &Site<'_>) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Entrance::Tls { client } = &self.entrance {
            Certificates::in_dir(site.dir).furnish(client.as_deref().unwrap_or(CLIENT))?;
        }
        // A server that was killed leaves it, and no other could listen there.
        match fs::remove_file(site.dir.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let place = self.place(site);
        let mut command = self.version.program().command();
        command.current_dir(site.dir).args(["--name", &place.name(place.member), "--data-dir", Site::DATA]);
        command.args(self.entrance.args(site));
        command.args(["--listen-peer-urls", &url(site.ports[1])]);
        command.args(["--initial-advertise-peer-urls", &url(place.peers[place.member])]);
        command.args(["--initial-cluster", &place.members(), "--initial-cluster-token", &place.cluster]);
        command.args(["--logger", "zap", "--log-level", "warn"]);
        command.args(&self.args);
        command
    }

    /// Healthy means that it has a leader.
    fn probe(&self, site: &Site<'_>, _pid: u32) -> Result<(), String> {
        let health = ask(site.dir, "GET", "/health", "").map_err(|error| error.to_string())?;
        if health.contains(r#""health":"true""#) { Ok(()) } else { Err(format!("/health answered {health:?}")) }
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
