//! How one member of a Consul cluster is run.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::servers::node::{Recipe, Site};
use crate::servers::probe;
use crate::servers::programs::{Neighbour, Program};

/// Some distributions have it, others had it in their last release.
pub(crate) const PROGRAM: Program = Program::Either(Neighbour { name: "consul", program: "consul" });

/// Where members of a cluster listen for each other, behind the relays that have their ports on
/// the usual loopback address: a server tells others its address, but cannot tell another port
/// than that on which it listens.
const BEHIND_RELAYS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Settings that have no flag. Raft's timeouts are shorter than Consul's own default of 5, yet long
/// enough for a busy machine. All members dial from one address, which counts as one client.
const SETTINGS: &str = r"
performance { raft_multiplier = 3 }
limits { http_max_conns_per_client = 4096  rpc_max_conns_per_client = 4096 }
autopilot { cleanup_dead_servers = false }
disable_update_check = true
";

/// One Consul process, of a cluster or alone.
#[derive(Clone, Debug)]
pub(super) struct Member {
    args: Vec<String>,
    /// `None` for one that nobody else knows.
    place: Option<Place>,
}

/// Which member of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) member: usize,
    /// The ports at which members know each other: for Raft and requests, and for gossip.
    pub(super) peers: Vec<[u16; 2]>,
}

impl Member {
    pub(super) fn alone(args: Vec<String>) -> Self {
        Self { args, place: None }
    }

    pub(super) fn of_cluster(args: Vec<String>, place: Place) -> Self {
        Self { args, place: Some(place) }
    }

    /// The ports for Raft and requests, and for gossip, that other members know.
    fn peer_ports(&self, site: &Site<'_>) -> [u16; 2] {
        match &self.place {
            Some(place) => place.peers[place.member],
            None => [site.ports[1], site.ports[2]],
        }
    }
}

impl Recipe for Member {
    fn kind(&self) -> &'static str {
        "consul"
    }

    /// One for clients, and the two for peers.
    fn port_count(&self) -> usize {
        if self.place.is_some() { 1 } else { 3 }
    }

    /// Raft and requests are relayed. Gossip goes directly: it is also sent over UDP, and over
    /// TCP from no address that would tell who dials.
    fn behind_relay(&self, _site: &Site<'_>, port: usize) -> Option<SocketAddr> {
        let place = self.place.as_ref()?;
        (port == 0).then(|| SocketAddr::from((BEHIND_RELAYS, place.peers[place.member][0])))
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let [server, gossip] = self.peer_ports(site);
        let http = site.ports[0];
        let members = self.place.iter().flat_map(|place| &place.peers);
        let count = members.clone().count().max(1);
        let bind = if self.place.is_some() { BEHIND_RELAYS } else { Ipv4Addr::LOCALHOST };

        let mut command = PROGRAM.command();
        command.current_dir(site.dir).args(["agent", "-server", "-data-dir=data", "-log-level=warn"]);
        command.arg(format!("-bootstrap-expect={count}")).arg(format!("-node={}", node_name(site)));
        command.arg(format!("-bind={bind}"));
        command.args(["-advertise=127.0.0.1", "-serf-lan-bind=127.0.0.1", "-client=127.0.0.1"]);
        command.args(["-hcl", SETTINGS, "-hcl"]);
        command.arg(format!(
            "ports {{ http = {http}  server = {server}  serf_lan = {gossip}  serf_wan = -1  dns = -1  grpc = -1 }}"
        ));
        command.arg("-retry-interval=1s");
        for [_, gossip] in members {
            command.arg(format!("-retry-join=127.0.0.1:{gossip}"));
        }
        command.args(&self.args);
        command
    }

    /// A session needs its agent in the catalog, where the leader puts it when it has time. The
    /// agent's name must be this one's: another server may have the port.
    fn probe(&self, site: &Site<'_>, _pid: u32) -> Result<(), String> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0]));
        let get = |path: &str| probe::http(addr, "GET", path, "").map_err(|error| error.to_string());
        let agent = get("/v1/agent/self")?;
        if !agent.contains(&format!(r#""NodeName":"{}""#, node_name(site))) {
            return Err(format!("/v1/agent/self answered {agent:?}"));
        }
        let node = get(&format!("/v1/catalog/node/{}?consistent", node_name(site)))?;
        if node.contains(r#""Node":{"#) { Ok(()) } else { Err(format!("the catalog answered {node:?}")) }
    }
}

/// The directory's name, which is random.
fn node_name(site: &Site<'_>) -> String {
    site.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
