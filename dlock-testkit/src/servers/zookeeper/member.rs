//! How one member of a ZooKeeper ensemble is run.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Command;

use super::Tick;
use crate::servers::node::{Recipe, Site};
use crate::servers::probe;
use crate::servers::programs::Program;

/// The server, whose manifest names the libraries that it needs.
const LIBRARY: &str = "/usr/share/java/zookeeper.jar";
pub(crate) const PROGRAM: Program = Program::Jar(LIBRARY);
/// Lets it write its log to the standard error; without, it writes none.
const LOG_LIBRARY: &str = "/usr/share/java/slf4j-simple.jar";

/// One ZooKeeper process, of an ensemble or alone.
#[derive(Clone, Debug)]
pub(super) struct Member {
    tick: Tick,
    /// `None` for one that nobody else knows.
    place: Option<Place>,
}

/// Which member of an ensemble.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) member: usize,
    /// Where members listen for each other: for the leader's data, and for elections.
    pub(super) peers: Vec<Vec<SocketAddrV4>>,
    /// By which it dials them.
    pub(super) proxy: SocketAddr,
}

impl Member {
    pub(super) fn alone(tick: Tick) -> Self {
        Self { tick, place: None }
    }

    pub(super) fn of_ensemble(tick: Tick, place: Place) -> Self {
        Self { tick, place: Some(place) }
    }

    /// The settings are explained in the administrator's guide of ZooKeeper.
    fn config(&self, site: &Site<'_>) -> String {
        let mut config = format!(
            "dataDir={}/data\nclientPort={}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
             tickTime={}\ninitLimit=10\nsyncLimit=4\nmaxSessionTimeout=60000\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n",
            site.dir.display(),
            site.ports[0],
            self.tick.0.as_millis(),
        );
        for (member, addrs) in self.place.iter().flat_map(|place| place.peers.iter().enumerate()) {
            let (data, election) = (addrs[0], addrs[1].port());
            let _ = writeln!(config, "server.{}={data}:{election}", member + 1);
        }
        config
    }
}

impl Recipe for Member {
    fn kind(&self) -> &'static str {
        "zookeeper"
    }

    /// The one for clients: those for peers are of all members together.
    fn port_count(&self) -> usize {
        1
    }

    fn furnish(&self, site: &Site<'_>) -> io::Result<()> {
        let id = self.place.as_ref().map_or(1, |place| place.member + 1);
        fs::create_dir_all(site.dir.join("data"))?;
        fs::write(site.dir.join("data/myid"), id.to_string())?;
        fs::write(site.dir.join("zoo.cfg"), self.config(site))
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let mut command = PROGRAM.command();
        command.current_dir(site.dir).args(["-cp", &format!("{LIBRARY}:{LOG_LIBRARY}")]);
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dzookeeper.extendedTypesEnabled=true"]);
        // In KB: the log of transactions is filled up with zeros in pieces of this size.
        command.arg("-Dzookeeper.preAllocSize=1024");
        // In ms: a member that cannot be dialled holds up the election among the others.
        command.arg("-Dzookeeper.cnxTimeout=1000");
        // In ms: in an election, what was lost on a cut connection is sent again, ever less often.
        command.arg("-Dzookeeper.fastleader.maxNotificationInterval=1000");
        if let Some(place) = &self.place {
            command.args(by_proxy(place.proxy));
        }
        command.args(["org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"]);
        command
    }

    /// It has a mode once it serves. Its directory must be this one: another server may have the port.
    fn probe(&self, site: &Site<'_>, _pid: u32) -> Result<(), String> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0]));
        let ask = |word| probe::exchange(addr, word).map_err(|error| format!("it does not answer {word}: {error}"));
        let mode = ask("srvr")?;
        if !mode.contains("Mode: ") {
            return Err(format!("it answered {mode:?}"));
        }
        let config = ask("conf")?;
        let data_dir = format!("dataDir={}/", site.dir.display());
        if config.contains(&data_dir) { Ok(()) } else { Err(format!("it answered {config:?}")) }
    }
}

/// Java's settings for a SOCKS proxy, which sockets that dial use unless they are channels
/// ("Java Networking and Proxies"). No host is exempt, as the loopback interface is otherwise.
fn by_proxy(proxy: SocketAddr) -> [String; 3] {
    [
        format!("-DsocksProxyHost={}", proxy.ip()),
        format!("-DsocksProxyPort={}", proxy.port()),
        "-DsocksNonProxyHosts=".to_owned(),
    ]
}
