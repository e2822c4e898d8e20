use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use dlock::Locks;
use futures::executor::block_on;
use hdrhistogram::Histogram;
use tempfile::TempDir;

const ROLE: &str = "DLOCK_BENCH_HAND_OVER";
const DIR: &str = "DLOCK_BENCH_DIR";
const ROUNDS: usize = 1000;

/// From the release in one process to the hold in another that waits, on the file backend.
pub(crate) fn report() -> String {
    let mut text = format!(
        "## Hand-over between two processes\n\n\
         From the moment before a release in one process to the moment after the acquire in another that waits for \
         it, {ROUNDS} times; one machine, the file backend.\n\n| | p50 µs | p99 µs | longest µs |\n|---|---|---|---|\n"
    );
    for role in ["flock", "file"] {
        let histogram = measure(role);
        let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let label = if role == "flock" { "blocking `flock(2)`" } else { "dlock, file" };
        text += &format!("| {label} | {:.0} | {:.0} | {:.0} |\n", micros(0.5), micros(0.99), micros(1.0));
    }
    text
}

/// In a process that the measurement started: waits for the name, notes the time, gives it back.
pub(crate) fn play_role() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let dir = std::env::var(DIR).expect("it is set beside the role");
    let mut lines = std::io::stdin().lock().lines();
    let say = |line: String| {
        println!("{line}");
        std::io::stdout().flush().expect("the measurement listens");
    };
    match role.as_str() {
        "flock" => {
            let file = File::create(Path::new(&dir).join("name")).expect("the directory can be written");
            while let Some(Ok(_)) = lines.next() {
                say("waiting".into());
                file.lock().expect("a lock can be taken");
                let now = now();
                file.unlock().expect("a lock can be given back");
                say(now.to_string());
            }
        }
        _ => {
            let locks = file_locks(&dir);
            let lock = locks.lock("name").expect("a good name");
            while let Some(Ok(_)) = lines.next() {
                say("waiting".into());
                let guard = block_on(lock.acquire()).expect("the directory can be used");
                let now = now();
                block_on(guard.release()).expect("the directory can be used");
                say(now.to_string());
            }
        }
    }
    Some(ExitCode::SUCCESS)
}

fn measure(role: &str) -> Histogram<u64> {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().display().to_string();
    let (mut child, mut answers) = start(role, &path);
    let mut orders = child.stdin.take().expect("it is piped");
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    let locks = (role == "file").then(|| file_locks(&path));
    let file = File::create(dir.path().join("name")).expect("the directory can be written");
    for _ in 0..ROUNDS {
        let guard = match &locks {
            Some(locks) => Some(block_on(locks.lock("name").expect("a good name").acquire()).expect("it is free")),
            None => {
                file.lock().expect("a lock can be taken");
                None
            }
        };
        writeln!(orders, "go").expect("the other process listens");
        assert_eq!(line(&mut answers), "waiting");
        match &locks {
            Some(locks) => {
                while block_on(locks.inspect("name")).expect("the directory can be read").waiters.is_empty() {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            // A blocked flock cannot be seen from here without `/proc/locks`; this is ample.
            None => std::thread::sleep(Duration::from_millis(2)),
        }
        let released = now();
        match guard {
            Some(guard) => block_on(guard.release()).expect("the directory can be used"),
            None => file.unlock().expect("a lock can be given back"),
        }
        let held: u64 = line(&mut answers).parse().expect("a time");
        histogram.record(held.saturating_sub(released)).expect("the histogram grows");
    }
    drop(orders);
    child.wait().expect("it ends with its input");
    histogram
}

fn start(role: &str, dir: &str) -> (Child, BufReader<ChildStdout>) {
    let program = std::env::current_exe().expect("a program knows its own file");
    let mut child = Command::new(program)
        .env(ROLE, role)
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can start itself");
    let answers = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, answers)
}

fn line(answers: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the other process answers");
    line.trim_end().to_owned()
}

fn file_locks(dir: &str) -> Locks {
    block_on(dlock::connect(&format!("file://{dir}/dlock"))).expect("a temporary directory can be used")
}

/// The monotonic clock, which two processes of one machine share.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
