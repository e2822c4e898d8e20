//! How one Redis server is run.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use super::{RedisProgram, clock};
use crate::servers::node::{Recipe, Site};
use crate::servers::probe;

/// One server that keeps keys.
#[derive(Clone, Debug, Default)]
pub(super) struct DataNode {
    pub(super) program: RedisProgram,
    pub(super) args: Vec<String>,
    pub(super) is_append_only: bool,
    pub(super) password: Option<String>,
    pub(super) has_own_clock: bool,
}

impl Recipe for DataNode {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn port_count(&self) -> usize {
        1
    }

    fn furnish(&self, site: &Site<'_>) -> io::Result<()> {
        if self.has_own_clock { clock::furnish(site.dir) } else { Ok(()) }
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let mut command = self.program.program().command();
        command.current_dir(site.dir);
        command.args(["--bind", "127.0.0.1", "--port", &site.ports[0].to_string(), "--save", "", "--dir", "."]);
        if self.is_append_only {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        if self.has_own_clock {
            clock::preload(&mut command, site.dir);
        }
        command.args(&self.args);
        command
    }

    /// Whoever answers must give this process's id: another server may have the port. And `INFO`
    /// is answered while the data is still being loaded, when `PING` is refused.
    fn probe(&self, site: &Site<'_>, pid: u32) -> Result<(), String> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[0]));
        let login = self.password.iter().map(|password| format!("AUTH {password}\r\n")).collect::<String>();
        let answer = probe::exchange(addr, &format!("{login}PING\r\nINFO server\r\nQUIT\r\n"))
            .map_err(|error| format!("it does not answer: {error}"))?;
        let process = format!("process_id:{pid}");
        let has = |wanted: &str| answer.lines().any(|line| line == wanted);
        if has(&process) && has("+PONG") { Ok(()) } else { Err(format!("it answered {answer:?}")) }
    }
}
