//! How one sentinel is run.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::SERVICE;
use crate::servers::node::{Recipe, Site};
use crate::servers::redis::RedisProgram;
use crate::servers::redis::ask::exchange;

/// Where the sentinel keeps its settings, and what it learns.
const CONFIG: &str = "sentinel.conf";

/// One sentinel.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub(super) program: RedisProgram,
    /// How long a server may be silent.
    pub(super) patience: Duration,
    /// From where it dials.
    pub(super) source: Ipv4Addr,
    /// Its place among the sentinels.
    pub(super) index: usize,
    /// The id and port of each sentinel.
    pub(super) sentinels: Vec<(String, u16)>,
    /// The port of each server; the first is the primary at the start.
    pub(super) servers: Vec<u16>,
}

impl Watcher {
    /// Sentinels find each other and the replicas by themselves, but in ten seconds: these know
    /// all at once, as after a restart.
    fn config(&self, port: u16) -> String {
        let (id, announced) = &self.sentinels[self.index];
        let quorum = self.sentinels.len() / 2 + 1;
        let mut config = format!(
            "bind 127.0.0.1\nbind-source-addr {}\nport {port}\ndir .\nsentinel myid {id}\n\
             sentinel announce-ip 127.0.0.1\nsentinel announce-port {announced}\n\
             sentinel monitor {SERVICE} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {SERVICE} {}\nsentinel failover-timeout {SERVICE} 3000\n",
            self.source,
            self.servers[0],
            self.patience.as_millis()
        );
        for port in &self.servers[1..] {
            let _ = writeln!(config, "sentinel known-replica {SERVICE} 127.0.0.1 {port}");
        }
        for (id, port) in self.sentinels.iter().filter(|(other, _)| other != id) {
            let _ = writeln!(config, "sentinel known-sentinel {SERVICE} 127.0.0.1 {port} {id}");
        }
        config
    }
}

impl Recipe for Watcher {
    fn kind(&self) -> &'static str {
        "redis-sentinel"
    }

    fn port_count(&self) -> usize {
        1
    }

    fn source(&self) -> Option<IpAddr> {
        Some(IpAddr::V4(self.source))
    }

    fn furnish(&self, site: &Site<'_>) -> io::Result<()> {
        let config = site.dir.join(CONFIG);
        if config.exists() { Ok(()) } else { fs::write(config, self.config(site.ports[0])) }
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let mut command = self.program.program().command();
        command.current_dir(site.dir).args([CONFIG, "--sentinel"]);
        command
    }

    fn probe(&self, site: &Site<'_>, pid: u32) -> Result<(), String> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0]));
        let answer = exchange(addr, "INFO server").map_err(|error| format!("it does not answer: {error}"))?;
        let process = format!("process_id:{pid}");
        if answer.lines().any(|line| line == process) { Ok(()) } else { Err(format!("it answered {answer:?}")) }
    }
}
