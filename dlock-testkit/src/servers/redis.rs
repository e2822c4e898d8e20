//! A Redis server of the test's own.

mod program;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::process::Command;
use std::sync::Arc;

pub use self::program::RedisProgram;
use super::kind::REDIS;
use super::node::{Recipe, Site};
use super::shared::blocking;
use super::{Node, Skip, probe};

/// A running Redis server; what can be done with it is on [`Node`].
#[derive(Debug)]
pub struct Redis {
    node: Arc<Node>,
    password: Option<String>,
}

/// How a [`Redis`] is started.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    program: RedisProgram,
    args: Vec<String>,
    append_only: bool,
    password: Option<String>,
}

impl Redis {
    /// Starts a server that keeps its data in memory only.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Whether one can be started here: a test that needs its own asks this first.
    ///
    /// # Errors
    /// A [`Skip`] when `redis-server` is not installed. For Valkey ask [`RedisProgram::installed`].
    ///
    /// # Panics
    /// When it is not installed though `DLOCK_REQUIRE` names `redis`; not so where tests run
    /// against the server at `DLOCK_TEST_REDIS`.
    pub fn installed() -> Result<(), Skip> {
        REDIS.require_installed()
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Kills it, if it runs, and starts it again with its data, on its ports; returns when it serves.
    ///
    /// # Panics
    /// When it does not come up again; the message has the end of its log.
    pub async fn restart(&self) {
        let node = self.node.clone();
        blocking(move || node.restart_blocking()).await;
    }

    /// Its URL for `dlock::connect`, with the password if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        let login = self.password.iter().map(|password| format!(":{password}@")).collect::<String>();
        format!("redis://{login}{}", self.node.addr())
    }
}

impl RedisBuilder {
    /// The program to start instead of Redis; ask [`RedisProgram::installed`] first.
    #[must_use]
    pub fn with_program(mut self, program: RedisProgram) -> Self {
        self.program = program;
        self
    }

    /// Keeps the data over a kill: every write is in the append-only file before it is answered.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Asks clients for a password, made of letters and digits.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// More arguments for the server, such as `["--maxmemory", "10mb"]`.
    #[must_use]
    pub fn with_args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the server and returns when it serves.
    ///
    /// # Panics
    /// When it does not; the message has the end of its log.
    pub async fn start(self) -> Redis {
        blocking(move || self.start_blocking()).await
    }

    /// [`RedisBuilder::start`] for code without async.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    #[must_use]
    pub fn start_blocking(self) -> Redis {
        let (program, password) = (self.program.program(), self.password.clone());
        match Node::start(self) {
            Ok(node) => Redis { node: Arc::new(node), password },
            Err(error) => panic!("{program} did not start: {error}"),
        }
    }
}

impl Deref for Redis {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Recipe for RedisBuilder {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn port_count(&self) -> usize {
        1
    }

    fn command(&self, site: &Site<'_>) -> Command {
        let mut command = self.program.program().command();
        command.current_dir(site.dir);
        command.args(["--bind", "127.0.0.1", "--port", &site.ports[0].to_string(), "--save", "", "--dir", "."]);
        if self.append_only {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
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
