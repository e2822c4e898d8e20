//! A server process with its data, its ports and its log.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Output, Process, Watchdog, data_dir, ports};

/// How long a server may take to answer after its start, on a very busy machine.
const START_BOUND: Duration = Duration::from_secs(60);
/// How many times a start is repeated with other ports when somebody else was faster to bind them.
const PORT_ATTEMPTS: usize = 10;
const LOG_TAIL: usize = 20;

/// What distinguishes one kind of server from another.
pub(crate) trait Recipe: std::fmt::Debug + Send + Sync + 'static {
    /// Names the kind in messages and directories.
    fn kind(&self) -> &'static str;
    /// How many ports it listens on.
    fn port_count(&self) -> usize;
    /// The command that runs it in the foreground. `site` stays the same over restarts.
    fn command(&self, site: &Site<'_>) -> Command;
    /// Whether this very process is ready to serve; otherwise what is missing.
    fn probe(&self, site: &Site<'_>, pid: u32) -> Result<(), String>;
}

/// Where a server runs.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    /// Its directory, for nobody else.
    pub(crate) dir: &'a Path,
    /// Its ports on the loopback interface.
    pub(crate) ports: &'a [u16],
}

/// A running server of any kind, with data and ports that survive its restarts.
///
/// Ended and removed on drop, and also when the test process dies without dropping anything.
#[derive(Debug)]
pub struct Node {
    process: Mutex<Option<Process>>,
    ports: Vec<u16>,
    recipe: Box<dyn Recipe>,
    watchdog: Arc<Watchdog>,
    dir: TempDir,
}

impl Node {
    /// Starts a server on free ports and waits until it serves.
    pub(crate) fn start(recipe: impl Recipe) -> io::Result<Self> {
        let dir = data_dir::create(recipe.kind())?;
        let watchdog = Arc::new(Watchdog::start(Some(dir.path()))?);
        let mut node = Self { process: Mutex::new(None), ports: Vec::new(), recipe: Box::new(recipe), watchdog, dir };
        for _ in 1..PORT_ATTEMPTS {
            node.ports = (0..node.recipe.port_count()).map(|_| ports::free_port()).collect();
            match node.launch() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => node.clear_data()?,
                other => return other.map(|()| node),
            }
        }
        node.launch().map(|()| node)
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has been killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process().as_ref().expect("the server has been killed: restart it first").pid()
    }

    /// Where it serves clients.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[0]))
    }

    /// Kills it (SIGKILL) and returns when it is gone. Its directory and ports stay its own.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Stops it where it is (SIGSTOP): connections stay open, nothing is answered.
    pub fn stop(&self) {
        self.process().iter().for_each(Process::stop);
    }

    /// Lets it go on after [`Node::stop`] (SIGCONT).
    pub fn resume(&self) {
        self.process().iter().for_each(Process::resume);
    }

    /// Kills it, if it runs, and starts it again with its data, on its ports; returns when it serves.
    ///
    /// # Panics
    /// When it does not come up again; the message has the end of its log.
    pub fn restart_blocking(&self) {
        self.kill();
        if let Err(error) = self.launch() {
            panic!("{error}");
        }
    }

    /// The last lines it printed.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn launch(&self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let site = Site { dir: self.dir.path(), ports: &self.ports };
        let command = self.recipe.command(&site);
        let process = Process::spawn_watched(&command, Output::File(log), self.watchdog.clone())?;
        self.wait_ready(&site, &process)?;
        *self.process() = Some(process);
        Ok(())
    }

    fn wait_ready(&self, site: &Site<'_>, process: &Process) -> io::Result<()> {
        let deadline = Instant::now() + START_BOUND;
        loop {
            let missing = match self.recipe.probe(site, process.pid()) {
                Ok(()) => return Ok(()),
                Err(missing) => missing,
            };
            if let Some(status) = process.exit_status() {
                let log = self.log_tail();
                let kind =
                    if log.contains("ddress already in use") { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
                return Err(io::Error::new(kind, self.report(&format!("ended at its start with {status}"))));
            }
            if Instant::now() >= deadline {
                let why = format!("did not serve within {START_BOUND:?}: {missing}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, self.report(&why)));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn report(&self, what: &str) -> String {
        format!("{} on ports {:?} {what}; its log ends with:\n{}", self.recipe.kind(), self.ports, self.log_tail())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn clear_data(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.dir.path())? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
