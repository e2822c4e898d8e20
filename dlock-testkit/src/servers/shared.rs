//! Which server a test gets.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::{Etcd, Redis, Skip, etcd as etcd_server, http, redis as redis_server};

/// How long a server given by URL may take to accept its first connection.
const REMOTE_BOUND: Duration = Duration::from_secs(30);

/// A server that many tests use at the same time: keep apart by namespace, never kill or flush it.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
}

impl Server {
    /// Its URL for `dlock::connect`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its host and port.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', ',']).next().unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }
}

/// The Redis server of this test process: `DLOCK_TEST_REDIS`, or one that is started now.
///
/// # Errors
/// A [`Skip`] when there is neither.
///
/// # Panics
/// When `DLOCK_REQUIRE` names `redis` and there is neither, and when the server does not answer.
pub async fn redis() -> Result<Server, Skip> {
    static SHARED: OnceLock<(Server, Option<Redis>)> = OnceLock::new();
    blocking(|| REDIS.shared(&SHARED, || Redis::builder().start_blocking(), Redis::url)).await
}

/// The etcd server of this test process: `DLOCK_TEST_ETCD`, or one that is started now.
///
/// # Errors
/// A [`Skip`] when there is neither.
///
/// # Panics
/// When `DLOCK_REQUIRE` names `etcd` and there is neither, and when the server does not answer.
pub async fn etcd() -> Result<Server, Skip> {
    static SHARED: OnceLock<(Server, Option<Etcd>)> = OnceLock::new();
    blocking(|| ETCD.shared(&SHARED, || Etcd::builder().start_blocking(), Etcd::url)).await
}

/// A Redis server of the test's own, to stop, kill and restart.
///
/// # Errors
/// A [`Skip`] when it is not installed.
///
/// # Panics
/// When it does not start, and when it is not installed though `DLOCK_REQUIRE` names `redis`;
/// not so where tests run against the server at `DLOCK_TEST_REDIS`.
pub async fn own_redis() -> Result<Redis, Skip> {
    REDIS.require_installed()?;
    Ok(Redis::start().await)
}

/// An etcd server of the test's own, to stop, kill and restart.
///
/// # Errors
/// A [`Skip`] when it is not installed.
///
/// # Panics
/// When it does not start, and when it is not installed though `DLOCK_REQUIRE` names `etcd`;
/// not so where tests run against the server at `DLOCK_TEST_ETCD`.
pub async fn own_etcd() -> Result<Etcd, Skip> {
    ETCD.require_installed()?;
    Ok(Etcd::start().await)
}

/// Runs what blocks where it holds up no other task.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => panic!("the runtime ended while a server was starting: {cancelled}"),
        },
    }
}

const REDIS: Kind = Kind { name: "redis", program: redis_server::PROGRAM, variable: "DLOCK_TEST_REDIS" };
const ETCD: Kind = Kind { name: "etcd", program: etcd_server::PROGRAM, variable: "DLOCK_TEST_ETCD" };

struct Kind {
    name: &'static str,
    program: &'static str,
    variable: &'static str,
}

impl Kind {
    fn shared<T>(
        &self,
        slot: &OnceLock<(Server, Option<T>)>,
        start: impl FnOnce() -> T,
        url: impl FnOnce(&T) -> String,
    ) -> Result<Server, Skip> {
        let given = self.given_url();
        if given.is_none() {
            self.require_installed()?;
        }
        let (server, _) = slot.get_or_init(|| match given {
            Some(given) => (self.reach(&given), None),
            None => {
                let started = start();
                (Server { url: url(&started) }, Some(started))
            }
        });
        Ok(server.clone())
    }

    fn require_installed(&self) -> Result<(), Skip> {
        let path = env::var_os("PATH").unwrap_or_default();
        if env::split_paths(&path).any(|dir| is_program(&dir.join(self.program))) {
            return Ok(());
        }
        let why = format!("{} is not installed", self.program);
        if self.given_url().is_some() {
            return Err(Skip::announced(self.name, format!("{why}, and this test needs a server of its own")));
        }
        Err(Skip::unless_required(self.name, format!("{why} and {} is not set", self.variable)))
    }

    fn given_url(&self) -> Option<String> {
        let given = env::var(self.variable).ok().filter(|url| !url.is_empty())?;
        Some(dlock_url(self.name, &given))
    }

    fn reach(&self, url: &str) -> Server {
        let server = Server { url: url.to_owned() };
        let deadline = Instant::now() + REMOTE_BOUND;
        loop {
            match resolve(server.authority()).and_then(http::connect) {
                Ok(_) => return server,
                Err(error) if Instant::now() >= deadline => panic!("{}={url} does not answer: {error}", self.variable),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

/// Tools of etcd know their server by a plain `http` URL.
fn dlock_url(scheme: &str, given: &str) -> String {
    given.strip_prefix("http://").map_or_else(|| given.to_owned(), |rest| format!("{scheme}://{rest}"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn resolve(authority: &str) -> std::io::Result<SocketAddr> {
    authority.to_socket_addrs()?.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
}
