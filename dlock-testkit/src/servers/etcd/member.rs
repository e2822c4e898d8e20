//! How one member of an etcd cluster is run.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use super::EtcdVersion;
use crate::servers::node::{Recipe, Site};
use crate::servers::probe;

/// One etcd process, of a cluster or alone.
#[derive(Clone, Debug)]
pub(super) struct Member {
    version: EtcdVersion,
    args: Vec<String>,
    disk: Option<u64>,
    /// `None` for a cluster of one, which nobody else knows.
    place: Option<Place>,
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
    pub(super) fn alone(version: EtcdVersion, args: Vec<String>, disk: Option<u64>) -> Self {
        Self { version, args, disk, place: None }
    }

    pub(super) fn of_cluster(version: EtcdVersion, args: Vec<String>, disk: Option<u64>, place: Place) -> Self {
        Self { version, args, disk, place: Some(place) }
    }

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

    fn command(&self, site: &Site<'_>) -> Command {
        let place = self.place(site);
        let (client, peer) = (url(site.ports[0]), url(site.ports[1]));
        let mut command = self.version.program().command();
        command.current_dir(site.dir).args(["--name", &place.name(place.member), "--data-dir", Site::DATA]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer]);
        command.args(["--initial-advertise-peer-urls", &url(place.peers[place.member])]);
        command.args(["--initial-cluster", &place.members(), "--initial-cluster-token", &place.cluster]);
        command.args(["--logger", "zap", "--log-level", "warn"]);
        command.args(&self.args);
        command
    }

    /// Healthy means that it has a leader. The member list must have this one's name: another
    /// server may have the port.
    fn probe(&self, site: &Site<'_>, _pid: u32) -> Result<(), String> {
        let place = self.place(site);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0]));
        let health = probe::http(addr, "GET", "/health", "").map_err(|error| error.to_string())?;
        if !health.contains(r#""health":"true""#) {
            return Err(format!("/health answered {health:?}"));
        }
        let members = probe::http(addr, "POST", "/v3/cluster/member/list", "{}").map_err(|error| error.to_string())?;
        if !members.contains(&format!(r#""name":"{}""#, place.name(place.member))) {
            return Err(format!("the member list is {members:?}"));
        }
        Ok(())
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
