//! Ends a process when the test process is gone.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Reads process ids until the pipe from the test process closes, which happens however that
/// process ends; then kills the last one's process group, unmounts what is mounted on the second
/// directory, and removes the first one.
/// The removal is repeated because a process that is dying may still be writing.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then kill -s KILL -- "-$pid"; fi
if [ -n "$2" ]; then umount -l -- "$2"; fi
if [ -n "$1" ]; then
    for attempt in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done
fi
"#;

/// A small shell that outlives the test process just long enough to clean up after it.
///
/// Drop does not run for statics, nor when a test process is killed. The kernel's parent death
/// signal does not serve here: it fires when the *thread* that started the child ends, and a
/// test harness runs each test on its own thread.
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Watchdog {
    /// Watches this process, and removes `dir` after it, if one is given.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn start(dir: Option<&Path>) -> io::Result<Self> {
        Self::run(dir, None)
    }

    /// Watches this process, and unmounts after it what is mounted on `dir`; then removes that,
    /// if it belongs to nobody else.
    pub(crate) fn start_unmounting(dir: &Path, is_own: bool) -> io::Result<Self> {
        Self::run(is_own.then_some(dir), Some(dir))
    }

    fn run(to_remove: Option<&Path>, to_unmount: Option<&Path>) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "dlock-watchdog"])
            .args([to_remove, to_unmount].map(|dir| dir.unwrap_or(Path::new(""))))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe: Mutex::new(pipe) })
    }

    /// From now on `pid`, a leader of its own process group, dies with this process.
    ///
    /// # Errors
    /// When the watchdog is gone.
    pub(crate) fn guard(&self, pid: u32) -> io::Result<()> {
        self.tell(&format!("{pid}\n"))
    }

    /// The guarded process has been reaped: its id may belong to another soon.
    pub(crate) fn forget(&self) -> io::Result<()> {
        self.tell("\n")
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        match self.pipe.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.shell.wait();
    }
}
