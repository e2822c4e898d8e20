//! A process that a test may stop, resume and kill.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Watchdog;

/// Waits for a word before it becomes the program. That word is sent once the watchdog knows the
/// process, so there is no moment at which killing the test process would leave it behind.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// A thread that the kernel cannot stop sooner is waiting for a device.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// Where the standard output and error of a [`Process`] go.
#[derive(Debug)]
pub enum Output {
    /// Both into this file.
    File(File),
    /// The output to [`Process::take_stdout`], errors to those of the test process.
    Piped,
    /// Nowhere.
    Null,
}

/// A child process in a process group of its own, with nothing on its standard input.
///
/// It is killed when this is dropped, and also when the test process dies in any other way.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    pid: Pid,
    watchdog: Arc<Watchdog>,
}

impl Process {
    /// Starts the program, with the arguments, environment and directory set on `command`.
    ///
    /// # Errors
    /// When processes cannot be started. A program that does not exist exits with 127.
    pub fn spawn(command: &Command, output: Output) -> io::Result<Self> {
        Self::spawn_watched(command, output, Arc::new(Watchdog::start(None)?))
    }

    pub(crate) fn spawn_watched(command: &Command, output: Output, watchdog: Arc<Watchdog>) -> io::Result<Self> {
        let mut gated = gated(command);
        match output {
            Output::File(file) => gated.stdout(file.try_clone()?).stderr(file),
            Output::Piped => gated.stdout(Stdio::piped()).stderr(Stdio::inherit()),
            Output::Null => gated.stdout(Stdio::null()).stderr(Stdio::null()),
        };
        let mut child = gated.stdin(Stdio::piped()).process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        let gate = child.stdin.take();
        let process = Self { child: Mutex::new(child), pid, watchdog };
        process.watchdog.guard(process.pid())?;
        gate.ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"go\n")?;
        Ok(process)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What it prints, where [`Output::Piped`] was asked for; once.
    #[must_use]
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.child().stdout.take()
    }

    /// Stops it where it is (SIGSTOP). Returns when it stands still, all of its threads: the signal
    /// is sent at once, but a thread on another processor goes on until it takes notice.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + STOP_BOUND;
        while !stands_still(self.pid()) && Instant::now() < deadline {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it (SIGKILL), with its children, and returns when it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        let _ = self.child().wait();
    }

    /// How it ended, or `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// How it ended, waiting for that for at most `bound`.
    #[must_use]
    pub fn wait_within(&self, bound: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + bound;
        loop {
            let status = self.exit_status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Signals the process unless it has been reaped, when its id may belong to another.
    fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if let Ok(None) = child.try_wait() {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.watchdog.forget();
    }
}

/// Whether each thread of the process is stopped, or has ended.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return true };
        // The state follows the name, which stands in parentheses and may contain some itself
        // (proc_pid_stat(5)): stopped, traced, zombie, dead.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('T' | 't' | 'Z' | 'X'))
    })
}

fn gated(command: &Command) -> Command {
    let mut gated = Command::new("sh");
    gated.args(["-c", GATE, "dlock-gate"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => gated.env(key, value),
            None => gated.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        gated.current_dir(dir);
    }
    gated
}
