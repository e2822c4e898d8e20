//! A client in another process, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dlock_core::{Guard, Locks, Namespace, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::reach::Reach;
use crate::servers::clock;
use crate::{Faults, Flaw, Requests, Subject};

/// Set in the environment of a worker: where the service is.
pub(crate) const ADDRESS: &str = "DLOCK_TESTKIT_WORKER";
const NAMESPACE: &str = "DLOCK_TESTKIT_NAMESPACE";
/// Set where the worker's own backend is to be broken: the case whose flaw it gets.
pub(crate) const FLAWED_CASE: &str = "DLOCK_TESTKIT_FLAWED_CASE";
const TTL_MS: &str = "DLOCK_TESTKIT_TTL_MS";

/// A client of the service in a process of its own, to be stopped and killed. It is killed when
/// dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
    /// Where its wall clock is, if it has one of its own.
    clock: Option<TempDir>,
}

impl Worker {
    pub(crate) async fn start(address: &str, namespace: &Namespace, ttl: Duration, flawed_case: Option<&str>) -> Self {
        let program = std::env::current_exe().expect("a test knows its own file");
        Self::run(Command::new(program), None, (address, namespace, ttl, flawed_case)).await
    }

    /// A worker whose wall clock can be stepped.
    pub(crate) async fn start_with_clock(
        address: &str,
        namespace: &Namespace,
        ttl: Duration,
        flawed_case: Option<&str>,
    ) -> Self {
        let program = std::env::current_exe().expect("a test knows its own file");
        let dir = TempDir::new().expect("a test has a place for temporary files");
        clock::furnish(dir.path()).expect("a clock can be compiled: the case needs `ProcessClock`");
        let mut command = Command::new(program);
        clock::preload(&mut command, dir.path());
        Self::run(command, Some(dir), (address, namespace, ttl, flawed_case)).await
    }

    async fn run(
        mut command: Command,
        clock: Option<TempDir>,
        (address, namespace, ttl, flawed_case): (&str, &Namespace, Duration, Option<&str>),
    ) -> Self {
        let mut child = command
            .envs(flawed_case.map(|case| (FLAWED_CASE, case)))
            .env(ADDRESS, address)
            .env(NAMESPACE, namespace.as_str())
            .env(TTL_MS, ttl.as_millis().to_string())
            // Ctrl-C at a terminal is for the program that runs the cases, which ends its workers.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a test can start itself again");
        let orders = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut worker = Self { child, orders, answers, clock };
        assert_eq!(worker.answer().await, "connected");
        worker
    }

    /// Orders `acquire NAME`, and waits for the token.
    pub async fn acquire(&mut self, name: &str) -> u64 {
        self.order(&format!("acquire {name}"));
        let answer = self.answer().await;
        let token = answer.strip_prefix("held ").and_then(|token| token.parse().ok());
        token.unwrap_or_else(|| panic!("the worker answered {answer:?}"))
    }

    /// Orders an acquire without waiting for it; the next answer is `held TOKEN`.
    pub fn begin_acquire(&mut self, name: &str) {
        self.order(&format!("acquire {name}"));
    }

    /// Whether a try was granted.
    pub async fn try_acquire(&mut self, name: &str) -> bool {
        self.order(&format!("try {name}"));
        self.answer().await != "refused"
    }

    /// Whether the last acquired guard believes that it is held, by its first look after the order.
    pub async fn is_held(&mut self) -> bool {
        self.order("check");
        self.answer().await == "yes"
    }

    /// Orders the last acquired guard to be released; answers what came of it.
    pub async fn release(&mut self) -> String {
        self.order("release");
        self.answer().await
    }

    /// Sets its wall clock ahead, at once.
    ///
    /// # Panics
    /// When it has none of its own.
    pub fn step_clock_ahead(&self, by: Duration) {
        clock::step_ahead(self.own_clock(), by).expect("its clock is there");
    }

    /// Sets its wall clock back, at once.
    ///
    /// # Panics
    /// When it has none of its own.
    pub fn step_clock_back(&self, by: Duration) {
        clock::step_back(self.own_clock(), by).expect("its clock is there");
    }

    /// What its wall clock shows, since 1970.
    pub async fn wall_clock(&mut self) -> Duration {
        self.order("time");
        let millis = self.answer().await;
        Duration::from_millis(millis.parse().expect("the worker answers with a number"))
    }

    /// Sends an order without waiting for the answer.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the worker reads its orders");
    }

    /// The next answer, in good time.
    pub async fn answer(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.answers.recv()).await;
        next.expect("the worker answers in good time").expect("the worker lives")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process where it is (SIGSTOP).
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a stopped process go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Orders its client to be closed, and waits until it is: nothing of it stays at the service.
    pub async fn close(mut self) {
        self.order("close");
        assert_eq!(self.answer().await, "closed");
    }

    /// Kills the process (SIGKILL), and waits for its end.
    pub fn kill(mut self) {
        self.end();
    }

    fn own_clock(&self) -> &Path {
        self.clock.as_ref().expect("it was started with a clock of its own").path()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a pid"), signal).expect("a child can be signalled");
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// The worker's side: reads orders from its standard input until it closes.
pub(crate) fn serve(subject: &dyn Subject, flaw: Arc<dyn Flaw>) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().expect("a worker has a runtime");
    runtime.block_on(async {
        let namespace: Namespace = std::env::var(NAMESPACE).unwrap_or_default().parse()?;
        let ttl = std::env::var(TTL_MS).ok().and_then(|ms| ms.parse().ok()).unwrap_or(1000);
        let (client, requests, faults) = (subject.client(), Requests::default(), Faults::default());
        let locks = Locks::builder(Reach { client, requests, flaw, faults })
            .namespace(namespace)
            .ttl(Duration::from_millis(ttl))
            .label("worker")
            .connect()
            .await?;
        say("connected");
        let mut guard: Option<Guard> = None;
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("acquire", name) => match locks.lock(name)?.acquire().await {
                    Ok(held) => {
                        say(&format!("held {}", held.token()?));
                        guard = Some(held);
                    }
                    Err(error) => say(&format!("error {error}")),
                },
                ("try", name) => match locks.lock(name)?.try_acquire().await? {
                    Some(held) => {
                        say(&format!("held {}", held.token()?));
                        guard = Some(held);
                    }
                    None => say("refused"),
                },
                ("check", _) => say(if guard.as_ref().is_some_and(Guard::is_held) { "yes" } else { "no" }),
                ("time", _) => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH);
                    say(&now.expect("it is later than 1970").as_millis().to_string());
                }
                ("release", _) => match guard.take() {
                    Some(held) => match held.release().await {
                        Ok(()) => say("released"),
                        Err(error) => say(&format!("error {error}")),
                    },
                    None => say("nothing held"),
                },
                ("close", _) => {
                    locks.close().await?;
                    say("closed");
                    return Ok(());
                }
                _ => say("what?"),
            }
        }
        Ok(())
    })
}

fn say(line: &str) {
    println!("{line}");
}
