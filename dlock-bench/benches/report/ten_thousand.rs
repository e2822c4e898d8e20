use std::fmt::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use dlock::{Guard, Locks};
use dlock_testkit::servers;
use redis::{Connection, InfoDict};
use tokio::task::JoinSet;

use crate::figures::median;
use crate::server_counts::scripts_run;
use crate::usage::{resident, thread_time};

const ROLE: &str = "DLOCK_BENCH_CROWD";
const URL: &str = "DLOCK_BENCH_CROWD_ON";
const HOLD: &str = "hold";

const CROWD: usize = 10_000;
const WATCHED: Duration = Duration::from_secs(60);
const ROUNDS: usize = 3;
/// How many tasks ask at the same time for names of their own.
const AT_ONCE: usize = 64;
const NAME: &str = "wanted";

/// Ten thousand locks of one client, and ten thousand waiters for one name, on Redis.
pub(crate) fn report() -> String {
    let mut text = format!(
        "## Ten thousand, on Redis\n\n\
         {CROWD} locks with the default ttl of 30 s, held by one client, watched for {} s:\n\n\
         | to acquire them, {AT_ONCE} at once | renewal requests | keeper's processor time | client's memory for each | \
         server's memory for each |\n|---|---|---|---|---|\n",
        WATCHED.as_secs()
    );
    let [taken, renewals, used, client, server] = measure(HOLD);
    writeln!(
        text,
        "| {taken:.1} s | {renewals:.1} each second | {used:.1} ms each second | {client} bytes | {server} bytes |\n"
    )
    .expect("a string takes what is written");
    write!(
        text,
        "{CROWD} tasks that wait for one name, which each of them releases as soon as it holds; the medians of \
         {ROUNDS} rounds:\n\n\
         | clients | to stand in line | server's memory for each | client's memory for each | to drain |\n\
         |---|---|---|---|---|\n",
    )
    .expect("a string takes what is written");
    let counts = [1, 10];
    let mut rounds = counts.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (rounds, clients) in rounds.iter_mut().zip(counts) {
            rounds.push(measure(&clients.to_string()));
        }
    }
    for (rounds, clients) in rounds.iter().zip(counts) {
        let [in_line, server, client, drained, _] =
            std::array::from_fn(|figure| median(rounds.iter().map(|round: &Figures| round[figure])));
        writeln!(text, "| {clients} | {in_line:.1} s | {server} bytes | {client} bytes | {drained:.1} s |")
            .expect("a string takes what is written");
    }
    text
}

/// In a process that the measurement started, with memory that nobody has used before: prints its figures.
pub(crate) fn play_role() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let url = std::env::var(URL).expect("it is set beside the role");
    let figures = crate::runtime().block_on(async {
        match role.as_str() {
            HOLD => hold(&url).await,
            clients => wait_with(clients.parse().expect("a number of clients"), &url).await,
        }
    });
    println!("{}", figures.map(|figure| figure.to_string()).join(" "));
    Some(ExitCode::SUCCESS)
}

type Figures = [f64; 5];

/// Has one role played against a server of its own.
fn measure(role: &str) -> Figures {
    let runtime = crate::runtime();
    let redis = runtime.block_on(servers::Redis::start());
    let program = std::env::current_exe().expect("a program knows its own file");
    let mut command = Command::new(program);
    command.env(ROLE, role).env(URL, redis.url()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().expect("this program can start itself");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("figures are text");
    let figures: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().expect("a figure")).collect();
    figures.try_into().expect("as many figures as are printed")
}

/// Seconds to acquire, requests each second, ms of the keeper each second, bytes at the client and at the server.
async fn hold(url: &str) -> Figures {
    let locks = dlock::connect(url).await.expect("the server is there");
    let mut server = connect(url);
    let (server_before, client_before) = (used_memory(&mut server), resident());
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for task in 0..AT_ONCE {
        let locks = locks.clone();
        asking.spawn(async move {
            let mut guards = Vec::new();
            for number in (task..CROWD).step_by(AT_ONCE) {
                let lock = locks.lock(format!("held/{number}")).expect("a good name");
                guards.push(lock.acquire().await.expect("it is free"));
            }
            guards
        });
    }
    let guards: Vec<Guard> = asking.join_all().await.into_iter().flatten().collect();
    let taken = started.elapsed();
    let client_each = each(resident(), client_before);
    let server_each = each(used_memory(&mut server), server_before);
    let used = thread_time("dlock-keeper");
    let scripts = scripts_run(&mut server);
    tokio::time::sleep(WATCHED).await;
    let renewals = scripts_run(&mut server) - scripts;
    let used = thread_time("dlock-keeper") - used;
    assert!(guards.iter().all(Guard::is_held), "all are still held");
    let watched = WATCHED.as_secs_f64();
    [taken.as_secs_f64(), renewals as f64 / watched, used.as_secs_f64() * 1000.0 / watched, client_each, server_each]
}

/// Seconds until all stand in line, bytes at the server and at the client, seconds to drain, and nothing.
async fn wait_with(clients: usize, url: &str) -> Figures {
    let mut all = Vec::with_capacity(clients);
    for _ in 0..clients {
        all.push(dlock::connect(url).await.expect("the server is there"));
    }
    let holder = all[0].lock(NAME).expect("a good name").acquire().await.expect("it is free");
    let mut server = connect(url);
    let (server_before, client_before) = (used_memory(&mut server), resident());
    let started = Instant::now();
    let mut waiters = JoinSet::new();
    for number in 0..CROWD {
        waiters.spawn(wait(all[number % clients].clone()));
    }
    let in_line = settled(&mut server, started).await;
    let client_each = each(resident(), client_before);
    let server_each = each(used_memory(&mut server), server_before);
    let waiting = all[0].inspect(NAME).await.expect("the server answers").waiters.len();
    assert_eq!(waiting, CROWD, "all stand in line when they ask for nothing more");
    let started = Instant::now();
    holder.release().await.expect("the server answers");
    waiters.join_all().await;
    [in_line.as_secs_f64(), server_each, client_each, started.elapsed().as_secs_f64(), 0.0]
}

async fn wait(locks: Locks) {
    let lock = locks.lock(NAME).expect("a good name");
    lock.acquire().await.expect("its turn comes").release().await.expect("the server answers");
}

/// Waits until nobody asks the server for anything during a second, and answers when the last one did.
async fn settled(server: &mut Connection, started: Instant) -> Duration {
    let mut before = (0, Duration::ZERO);
    loop {
        let now = started.elapsed();
        let commands = figure(server, "stats", "total_commands_processed");
        // What asks for the figure is counted too.
        if commands > before.0 + 1 {
            before.1 = now;
        } else if now > before.1 + Duration::from_secs(1) {
            return before.1;
        }
        before.0 = commands;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// For each of the crowd.
fn each(after: usize, before: usize) -> f64 {
    (after.saturating_sub(before) / CROWD) as f64
}

/// What the server has allocated, in bytes.
fn used_memory(server: &mut Connection) -> usize {
    figure(server, "memory", "used_memory")
}

/// A figure that the server gives of itself.
fn figure(server: &mut Connection, section: &str, name: &str) -> usize {
    let info: InfoDict = redis::cmd("INFO").arg(section).query(server).expect("the server answers");
    info.get(name).expect("every server tells it")
}

fn connect(url: &str) -> Connection {
    redis::Client::open(url).expect("a good URL").get_connection().expect("the server is there")
}
