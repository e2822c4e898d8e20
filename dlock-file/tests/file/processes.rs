//! Real processes: killed, stopped, forked. The children are this test binary, run again.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{connect, files, name, permit, until};
use dlock_core::Mode::{Exclusive, Shared};
use dlock_core::{Predecessor, Queue, Requested, Why, Withdrawn};
use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "DLOCK_FILE_TEST_ROLE";
const DIR: &str = "DLOCK_FILE_TEST_DIR";

/// Not a test of its own: what the children of the other tests do.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = std::path::PathBuf::from(std::env::var(DIR).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match role.as_str() {
        "hold" => runtime.block_on(hold(&dir)),
        "run a grandchild" => runtime.block_on(run_a_grandchild(&dir)),
        "churn" => runtime.block_on(churn(&dir)),
        other => panic!("unknown role {other}"),
    }
}

async fn hold(dir: &Path) {
    let mut client = connect(dir).await;
    let claim = crate::common::claim("n", Exclusive);
    if let Requested::Queued(_) = client.backend.request(&claim, Queue::Yes).await.unwrap() {
        println!("child: waits");
        client.granted(&claim.to_ref()).await;
    }
    println!("child: holds");
    std::future::pending::<()>().await;
}

async fn run_a_grandchild(dir: &Path) {
    let mut client = connect(dir).await;
    let (claim, _) = client.hold("n", Exclusive).await;
    let lifeline = client.backend.lifeline(&claim).unwrap().unwrap();
    // Its input is the claim: that is how it inherits the descriptor here.
    let grandchild = Command::new("sleep").arg("1000").stdin(Stdio::from(lifeline)).stdout(Stdio::null()).spawn();
    println!("child: {}", grandchild.unwrap().id());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    assert_eq!(client.backend.withdraw(&claim, Why::Release).await.unwrap(), Withdrawn::Removed);
    println!("child: released");
    std::future::pending::<()>().await;
}

/// Acquires and releases for ever, and logs three lines while it holds: whoever has been overtaken
/// shows in the log by a token lower than the one before. (A second lock would be no witness: a
/// dying process closes its files in no promised order.)
async fn churn(dir: &Path) {
    let mut log = OpenOptions::new().create(true).append(true).open(dir.join("tokens")).unwrap();
    let mut client = connect(&dir.join("locks")).await;
    let mut round = std::process::id();
    loop {
        round = round.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let other = round >> 16 & 1 == 0;
        let mode = if other { permit(2) } else { Exclusive };
        let claim = crate::common::claim(if other { "other" } else { "n" }, mode);
        let grant = match client.backend.request(&claim, Queue::Yes).await.unwrap() {
            Requested::Held(grant, _) => grant,
            Requested::Queued(_) if round >> 20 & 7 == 0 => {
                client.backend.withdraw(&claim.to_ref(), Why::Cancel).await.unwrap();
                continue;
            }
            Requested::Queued(_) => client.granted(&claim.to_ref()).await,
            Requested::Refused => panic!("it asked to wait"),
        };
        if !other {
            for step in ["enter", "work", "leave"] {
                // One write, so that a kill leaves the whole line or nothing.
                let line = format!("{:x} {} {step}\n", grant.token.epoch, grant.token.value);
                log.write_all(line.as_bytes()).unwrap();
                std::thread::yield_now();
            }
        }
        client.backend.withdraw(&claim.to_ref(), Why::Release).await.unwrap();
    }
}

/// A child process that is killed when the test ends.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// The next line that it says.
    fn says(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some((_, said)) = line.trim_end().split_once("child: ") {
                return said.to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).unwrap()
}

#[tokio::test]
async fn a_killed_holder_frees_its_lock_at_once_and_is_reported_as_vanished() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let mut holder = Process::start("hold", dir.path());
    assert_eq!(holder.says(), "holds");
    let waiter = client.wait("n", Exclusive).await;
    // Past the look that every new waiter takes: now only the push can tell.
    assert!(client.still_waits(&waiter).await);
    let killed_at = Instant::now();
    holder.kill();
    let grant = client.granted(&waiter).await;
    assert!(killed_at.elapsed() < Duration::from_secs(5), "{:?}: it was found by the scan", killed_at.elapsed());
    assert_eq!(grant.predecessor, Some(Predecessor::Vanished));
    client.release(&waiter).await;
    assert_eq!(files(dir.path()).len(), 0);
}

#[tokio::test]
async fn a_holder_that_was_killed_before_anybody_waited_is_reported_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Process::start("hold", dir.path());
    assert_eq!(holder.says(), "holds");
    holder.kill();
    let mut client = connect(dir.path()).await;
    assert!(client.backend.inspect(&name("n")).await.unwrap().is_free());
    assert_eq!(client.hold("n", Exclusive).await.1.predecessor, Some(Predecessor::Vanished));
    assert_eq!(files(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_stopped_holder_keeps_its_lock_and_a_stopped_waiter_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let mut holder = Process::start("hold", dir.path());
    assert_eq!(holder.says(), "holds");
    let mut second = Process::start("hold", dir.path());
    assert_eq!(second.says(), "waits");
    let waiter = client.wait("n", Exclusive).await;
    holder.signal(Signal::STOP);
    second.signal(Signal::STOP);
    assert!(client.still_waits(&waiter).await);
    assert_eq!(client.tries("n", Shared).await, Requested::Refused);
    holder.signal(Signal::CONT);
    holder.kill();
    assert!(client.still_waits(&waiter).await, "the stopped waiter is first");
    second.signal(Signal::CONT);
    assert_eq!(second.says(), "holds");
    second.kill();
    client.granted(&waiter).await;
}

#[tokio::test]
async fn a_killed_waiter_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let (held, _) = client.hold("n", Exclusive).await;
    let mut dead = Process::start("hold", dir.path());
    assert_eq!(dead.says(), "waits");
    let mut behind = Process::start("hold", dir.path());
    assert_eq!(behind.says(), "waits");
    dead.kill();
    until("the dead waiter's file is swept", || files(dir.path()).len() == 2);
    client.release(&held).await;
    assert_eq!(behind.says(), "holds");
}

#[tokio::test]
async fn a_child_that_inherited_the_claim_keeps_it_when_its_parent_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let mut parent = Process::start("run a grandchild", dir.path());
    let grandchild = pid(parent.says().parse().unwrap());
    let waiter = client.wait("n", Exclusive).await;
    parent.kill();
    assert!(client.still_waits(&waiter).await, "the grandchild lives");
    let killed_at = Instant::now();
    kill_process(grandchild, Signal::KILL).unwrap();
    assert_eq!(client.granted(&waiter).await.predecessor, Some(Predecessor::Vanished));
    assert!(killed_at.elapsed() < Duration::from_secs(5), "{:?}: it was found by the scan", killed_at.elapsed());
}

#[tokio::test]
async fn a_release_ends_the_claim_though_a_child_has_the_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let mut parent = Process::start("run a grandchild", dir.path());
    let grandchild = pid(parent.says().parse().unwrap());
    let waiter = client.wait("n", Exclusive).await;
    writeln!(parent.input, "release").unwrap();
    assert_eq!(parent.says(), "released");
    assert_eq!(client.granted(&waiter).await.predecessor, Some(Predecessor::Released));
    kill_process(grandchild, Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_lifeline_is_the_claims_own_description_and_only_of_what_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let (held, _) = client.hold("n", Exclusive).await;
    let waiting = client.wait("n", Exclusive).await;
    assert_eq!(client.backend.lifeline(&waiting).unwrap_err().kind(), dlock_core::ErrorKind::Lost);
    let lifeline = client.backend.lifeline(&held).unwrap().unwrap();
    let flags = rustix::io::fcntl_getfd(lifeline.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "no child inherits it by accident");
    client.backend.close().await.unwrap();
    let mut other = connect(dir.path()).await;
    assert_eq!(other.tries("n", Exclusive).await, Requested::Refused, "a copy is still open");
    drop(lifeline);
    other.hold("n", Exclusive).await;
}

/// SIGKILL between any two system calls, for some seconds.
#[tokio::test]
async fn processes_killed_at_any_point_leave_no_overlap_no_repeated_token_and_no_blocked_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut workers: Vec<_> = (0..4).map(|_| Process::start("churn", dir.path())).collect();
    let log = dir.path().join("tokens");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    let mut kills = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) || kills < 40 || lines().lines().count() < 4000 {
        assert!(start.elapsed() < Duration::from_secs(120), "{kills} kills");
        let before = lines().len();
        until("somebody makes progress", || lines().len() > before);
        let pause = u64::from(std::process::id().wrapping_mul(kills + 7) % 37);
        std::thread::sleep(Duration::from_millis(pause));
        let victim = kills as usize % workers.len();
        workers[victim].kill();
        workers[victim] = Process::start("churn", dir.path());
        kills += 1;
    }
    workers.clear();
    let text = lines();
    let mut tokens = Vec::new();
    let mut entered = 0;
    let mut epochs = std::collections::BTreeSet::new();
    for line in text.lines() {
        let [epoch, value, step] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        epochs.insert(epoch.to_owned());
        tokens.push(value.parse::<u64>().unwrap());
        entered += usize::from(step == "enter");
    }
    assert_eq!(epochs.len(), 1);
    assert!(entered > 1000, "{entered} cycles and {kills} kills");
    assert!(tokens.is_sorted(), "two held it at once, or tokens went backwards");
    tokens.dedup();
    assert_eq!(tokens.len(), entered, "a token was given twice");
    let mut client = connect(&dir.path().join("locks")).await;
    let (exclusive, grant) = client.hold("n", Exclusive).await;
    assert!(grant.token.value > *tokens.last().unwrap());
    let (permit, _) = client.hold("other", permit(2)).await;
    client.release(&exclusive).await;
    client.release(&permit).await;
    let left = files(&dir.path().join("locks"));
    assert!(left.len() <= 4, "swept by use: {left:?}");
    println!("{entered} cycles, {kills} kills");
}

#[tokio::test]
async fn a_waiting_process_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    client.hold("n", Exclusive).await;
    let mut waiter = Process::start("hold", dir.path());
    assert_eq!(waiter.says(), "waits");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let switches = || {
        let mut total = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", waiter.child.id())).unwrap() {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            total += count.trim().parse::<u64>().unwrap();
        }
        total
    };
    let before = switches();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let woken = switches() - before;
    assert!(woken <= 5, "woken {woken} times in three seconds");
}
