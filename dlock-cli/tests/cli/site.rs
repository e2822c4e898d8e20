//! A directory with locks in it, and the processes that use them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

pub(crate) const DLOCK: &str = env!("CARGO_BIN_EXE_dlock");

/// Longer than anything here takes, however busy the machine is.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// A place of its own for one test, with locks on the file backend.
pub(crate) struct Site {
    dir: TempDir,
}

/// A `dlock` that was started, in a process group with its job. Both are killed when this goes.
pub(crate) struct Running {
    child: Child,
    /// Where its standard output and error go.
    output: [PathBuf; 2],
    is_left: bool,
}

/// How a `dlock` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn backend(&self) -> String {
        format!("file://{}", self.path("locks").display())
    }

    /// A `dlock` with these arguments, in the site's directory.
    pub(crate) fn dlock(&self, args: &[&str]) -> Command {
        let mut command = Command::new(DLOCK);
        command.args(args);
        self.settle(&mut command);
        command
    }

    /// `dlock run ARGS -- sh -c SCRIPT`.
    pub(crate) fn job(&self, args: &[&str], script: &str) -> Command {
        let mut command = self.dlock(&["run"]);
        command.args(args).args(["--", "sh", "-c", script]);
        command
    }

    /// Gives a command the site's surroundings.
    pub(crate) fn settle(&self, command: &mut Command) {
        command.current_dir(self.dir.path()).stdin(Stdio::null()).env("DLOCK_BACKEND", self.backend());
        for variable in ["DLOCK_NAME", "DLOCK_TOKEN", "DLOCK_EPOCH", "DLOCK_OWNER", "DLOCK_LOG"] {
            command.env_remove(variable);
        }
    }

    pub(crate) fn start(&self, mut command: Command) -> Running {
        let number = fastrand::u64(..);
        let output = ["out", "err"].map(|stream| self.path(&format!("{stream}-{number:x}")));
        let [stdout, stderr] = output.each_ref().map(|path| File::create(path).unwrap());
        let child = command.stdout(stdout).stderr(stderr).process_group(0).spawn().unwrap();
        Running { child, output, is_left: false }
    }

    pub(crate) fn ended(&self, command: Command) -> Ended {
        self.start(command).ended()
    }

    pub(crate) fn show(&self, name: &str) -> String {
        let ended = self.ended(self.dlock(&["show", name]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    /// Returns when `dlock show` says this of the name.
    pub(crate) fn wait_until_shown(&self, name: &str, text: &str) {
        eventually(&format!("{name} shows {text:?}"), || self.show(name).contains(text));
    }

    /// Starts a job that holds the name until the file `finish` is there; returns when it runs.
    pub(crate) fn hold(&self, args: &[&str]) -> Running {
        let running =
            self.start(self.job(args, "echo $$ >job.pid; echo up >>up; until [ -e finish ]; do sleep 0.01; done"));
        eventually("the job runs", || self.read("up").contains("up") && self.read("job.pid").ends_with('\n'));
        running
    }

    pub(crate) fn finish(&self) {
        File::create(self.path("finish")).unwrap();
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Signals `dlock` alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether a signal has ended `dlock`.
    pub(crate) fn killed(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some_and(|status| status.code().is_none())
    }

    /// Lets the job of a `dlock` that has ended go on.
    pub(crate) fn leave(mut self) {
        self.is_left = true;
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.output[0]).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.output[1]).unwrap()
    }

    pub(crate) fn ended(mut self) -> Ended {
        eventually(&format!("dlock ends; it says {:?}", self.stderr()), || !self.is_running());
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_left {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
pub(crate) fn process(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().expect("a process id")).expect("a process id")
}
