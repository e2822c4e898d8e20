//! Which kinds of servers there are, and where one is to be had.

use std::env;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use super::programs::Program;
use super::{EtcdVersion, RedisProgram, Server, Skip, consul, probe, zookeeper};

/// How long a server given by URL may take until it serves.
const REMOTE_BOUND: Duration = Duration::from_secs(60);

pub(crate) const REDIS: Kind =
    Kind { name: "redis", program: RedisProgram::Redis.program(), variable: "DLOCK_TEST_REDIS", serves: redis_serves };
pub(crate) const ETCD: Kind =
    Kind { name: "etcd", program: EtcdVersion::Installed.program(), variable: "DLOCK_TEST_ETCD", serves: etcd_serves };

pub(crate) const CONSUL: Kind =
    Kind { name: "consul", program: consul::PROGRAM, variable: "DLOCK_TEST_CONSUL", serves: consul_serves };
pub(crate) const ZOOKEEPER: Kind =
    Kind { name: "zookeeper", program: zookeeper::PROGRAM, variable: "DLOCK_TEST_ZOOKEEPER", serves: zookeeper_serves };

/// A kind of server.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name in `DLOCK_REQUIRE`, which is also the scheme of its URLs.
    name: &'static str,
    program: Program,
    variable: &'static str,
    serves: fn(SocketAddr) -> io::Result<bool>,
}

impl Kind {
    /// The server that the environment gives by URL.
    pub(crate) fn given(&self) -> Option<Server> {
        let url = env::var(self.variable).ok().filter(|url| !url.is_empty())?;
        Some(Server::new(dlock_url(self.name, &url)))
    }

    /// Whether a server of the test's own can be started here.
    ///
    /// # Errors
    /// A [`Skip`] when not; where tests run against a given server even if the kind is required.
    pub(crate) fn require_installed(&self) -> Result<(), Skip> {
        self.require(self.program)
    }

    /// Whether a server of the test's own can be started here with this program of its kind.
    ///
    /// # Errors
    /// As [`Kind::require_installed`].
    pub(crate) fn require(&self, program: Program) -> Result<(), Skip> {
        if program.path().is_some() {
            return Ok(());
        }
        let (name, why) = (program.requirement().unwrap_or(self.name), program.missing());
        if self.given().is_some() {
            return Err(Skip::announced(name, format!("{why}, and this test needs a server of its own")));
        }
        Err(Skip::unless_required(name, format!("{why} and {} is not set", self.variable)))
    }

    /// Returns when a given server serves.
    pub(crate) fn wait_for(&self, server: &Server) {
        let deadline = Instant::now() + REMOTE_BOUND;
        while let Err(error) = self.reach(server) {
            assert!(Instant::now() < deadline, "{}={} does not answer: {error}", self.variable, server.url());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn reach(&self, server: &Server) -> io::Result<()> {
        if let Some(socket) = server.socket() {
            return UnixStream::connect(socket).map(|_| ());
        }
        let addr = server.authority().to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let is_plain = server.url().split_once("://").is_some_and(|(scheme, _)| scheme == self.name);
        if is_plain && !(self.serves)(addr)? {
            return Err(io::Error::other(format!("this is not {}, or it is not ready", self.name)));
        }
        probe::connect(addr).map(|_| ())
    }
}

fn redis_serves(addr: SocketAddr) -> io::Result<bool> {
    let answer = probe::exchange(addr, "PING\r\nQUIT\r\n")?;
    Ok(answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
}

fn etcd_serves(addr: SocketAddr) -> io::Result<bool> {
    Ok(probe::http(addr, "GET", "/health", "")?.contains(r#""health":"true""#))
}

fn consul_serves(addr: SocketAddr) -> io::Result<bool> {
    let answer = probe::http(addr, "GET", "/v1/status/leader", "")?;
    // The leader's address in quotes; nothing in them where there is none.
    Ok(answer.split_once("\r\n\r\n").is_some_and(|(_, body)| body.starts_with('"') && !body.starts_with("\"\"")))
}

fn zookeeper_serves(addr: SocketAddr) -> io::Result<bool> {
    Ok(probe::exchange(addr, "srvr")?.contains("Mode: "))
}

/// Tools of etcd know their server by a plain `http` URL.
fn dlock_url(scheme: &str, given: &str) -> String {
    given.strip_prefix("http://").map_or_else(|| given.to_owned(), |rest| format!("{scheme}://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_url_becomes_one_that_dlock_knows() {
        for (given, url) in [
            ("http://127.0.0.1:2379", "etcd://127.0.0.1:2379"),
            ("etcd://a:1,b:2", "etcd://a:1,b:2"),
            ("etcds://a:1", "etcds://a:1"),
        ] {
            assert_eq!(dlock_url("etcd", given), url);
        }
    }
}
