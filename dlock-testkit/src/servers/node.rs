//! A server process with its data, its ports and its log.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Output, Process, SmallDisk, Watchdog, data_dir, ports};

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
    /// How large a disk it has to itself, which is mounted on [`Site::DATA`].
    fn disk(&self) -> Option<u64> {
        None
    }
    /// Puts into its directory what it needs; before each start.
    fn furnish(&self, _site: &Site<'_>) -> io::Result<()> {
        Ok(())
    }
    /// Where it listens for what its peers send to the relay that stands for `port` of its ports;
    /// `None` where the port was taken so that peers know it, and it listens there itself.
    fn behind_relay(&self, site: &Site<'_>, port: usize) -> Option<SocketAddr> {
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports[port])))
    }
    /// The address from which it dials its peers, where it can be told to use one of its own.
    fn source(&self) -> Option<IpAddr> {
        None
    }
    /// The command that runs it in the foreground. `site` stays the same over restarts.
    fn command(&self, site: &Site<'_>) -> Command;
    /// Whether this very process is ready to serve; otherwise what is missing.
    fn probe(&self, site: &Site<'_>, pid: u32) -> Result<(), String>;
}

impl Recipe for Box<dyn Recipe> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn port_count(&self) -> usize {
        (**self).port_count()
    }

    fn disk(&self) -> Option<u64> {
        (**self).disk()
    }

    fn furnish(&self, site: &Site<'_>) -> io::Result<()> {
        (**self).furnish(site)
    }

    fn behind_relay(&self, site: &Site<'_>, port: usize) -> Option<SocketAddr> {
        (**self).behind_relay(site, port)
    }

    fn source(&self) -> Option<IpAddr> {
        (**self).source()
    }

    fn command(&self, site: &Site<'_>) -> Command {
        (**self).command(site)
    }

    fn probe(&self, site: &Site<'_>, pid: u32) -> Result<(), String> {
        (**self).probe(site, pid)
    }
}

/// Where a server runs.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    /// Its directory, for nobody else.
    pub(crate) dir: &'a Path,
    /// Its ports on the loopback interface.
    pub(crate) ports: &'a [u16],
}

impl Site<'_> {
    /// The directory below that of the server for what it writes to a disk of its own.
    pub(crate) const DATA: &'static str = "data";
}

/// A running server of any kind, with data and ports that survive its restarts.
///
/// Ended and removed on drop, and also when the test process dies without dropping anything.
#[derive(Debug)]
pub struct Node {
    process: Mutex<Option<Process>>,
    ports: Vec<u16>,
    recipe: Box<dyn Recipe>,
    /// Before the directory that it is mounted in.
    disk: Option<SmallDisk>,
    watchdog: Arc<Watchdog>,
    dir: TempDir,
}

impl Node {
    /// Starts a server on free ports and waits until it serves.
    pub(crate) fn start(recipe: impl Recipe + Clone) -> io::Result<Self> {
        with_other_ports(|| {
            let node = Self::prepare(recipe.clone())?;
            node.launch()?;
            node.wait_ready()?;
            Ok(node)
        })
    }

    /// Gives a server a directory and free ports, without starting it.
    pub(crate) fn prepare(recipe: impl Recipe) -> io::Result<Self> {
        let dir = data_dir::create(recipe.kind())?;
        let watchdog = Arc::new(Watchdog::start(Some(dir.path()))?);
        let ports = (0..recipe.port_count()).map(|_| ports::free_port()).collect();
        let data = dir.path().join(Site::DATA);
        let disk = recipe.disk().map(|bytes| fs::create_dir(&data).and_then(|()| SmallDisk::over(&data, bytes)));
        let disk = disk.transpose()?;
        Ok(Self { process: Mutex::new(None), ports, recipe: Box::new(recipe), disk, watchdog, dir })
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has been killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running_pid().expect("the server has been killed: restart it first")
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
        if let Err(error) = self.launch().and_then(|()| self.wait_ready()) {
            panic!("{error}");
        }
    }

    /// Fills its disk up: no write that needs room succeeds.
    ///
    /// # Panics
    /// When it has no disk of its own: the builder's `with_disk` gives it one.
    pub fn fill_disk(&self) {
        self.disk().fill();
    }

    /// Ends [`Node::fill_disk`].
    ///
    /// # Panics
    /// When it has no disk of its own.
    pub fn free_disk(&self) {
        self.disk().free();
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

    /// The command that runs it.
    pub(crate) fn command(&self) -> Command {
        self.recipe.command(&self.site())
    }

    /// See [`Recipe::behind_relay`].
    pub(crate) fn behind_relay(&self, port: usize) -> Option<SocketAddr> {
        self.recipe.behind_relay(&self.site(), port)
    }

    /// See [`Recipe::source`].
    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.recipe.source()
    }

    /// Starts the process, without waiting until it serves.
    pub(crate) fn launch(&self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        self.recipe.furnish(&self.site())?;
        *self.process() = Some(Process::spawn_watched(&self.command(), Output::File(log), self.watchdog.clone())?);
        Ok(())
    }

    /// Waits until the process serves; ends it when it does not.
    pub(crate) fn wait_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_BOUND;
        loop {
            let Some(pid) = self.running_pid() else { return Err(io::Error::other("it was killed at its start")) };
            let Err(missing) = self.recipe.probe(&self.site(), pid) else { return Ok(()) };
            if let Some(status) = self.process().as_ref().and_then(Process::exit_status) {
                let log = self.log_tail();
                let kind =
                    if log.contains("ddress already in use") { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
                return Err(io::Error::new(kind, self.report(&format!("ended at its start with {status}"))));
            }
            if Instant::now() >= deadline {
                self.kill();
                let why = format!("did not serve within {START_BOUND:?}: {missing}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, self.report(&why)));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process id, unless it has been killed.
    pub(crate) fn running_pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the server has no disk of its own: start it with one")
    }

    fn site(&self) -> Site<'_> {
        Site { dir: self.dir.path(), ports: &self.ports }
    }

    fn report(&self, what: &str) -> String {
        format!("{} on ports {:?} {what}; its log ends with:\n{}", self.recipe.kind(), self.ports, self.log_tail())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
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

/// Repeats `start`, which takes new ports each time, when somebody else was faster to bind them.
pub(crate) fn with_other_ports<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..PORT_ATTEMPTS {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    start()
}
