use std::fmt::Write;
use std::time::{Duration, Instant};

use dlock::{Guard, Locks};
use dlock_testkit::servers;
use redis::InfoDict;
use tokio::task::JoinSet;

use crate::server_counts::ServerCounts;
use crate::usage::{resident, thread_time};

const CROWD: usize = 10_000;
const WATCHED: Duration = Duration::from_secs(30);
/// How many tasks ask at the same time for names of their own.
const AT_ONCE: usize = 64;
const NAME: &str = "wanted";

/// Ten thousand locks of one client, and ten thousand waiters for one name, on Redis.
pub(crate) fn report() -> String {
    crate::runtime().block_on(async {
        let mut text = format!(
            "## Ten thousand, on Redis\n\n\
             {CROWD} locks with the default ttl of 30 s, held by one client, watched for {} s:\n\n{}\n\
             {CROWD} tasks that wait for one name, which each of them releases as soon as it holds:\n\n\
             | clients | to stand in line | server's memory for each | client's memory for each | to drain |\n\
             |---|---|---|---|---|\n",
            WATCHED.as_secs(),
            held().await,
        );
        for clients in [1, 10] {
            text += &waiting(clients).await;
        }
        text
    })
}

async fn held() -> String {
    let redis = servers::Redis::start().await;
    let locks = dlock::connect(&redis.url()).await.expect("the server is there");
    let (server_before, client_before) = (used_memory(&redis.url()), resident());
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
    let client = resident().saturating_sub(client_before) / CROWD;
    let server = used_memory(&redis.url()).saturating_sub(server_before) / CROWD;
    let used = thread_time("dlock-keeper");
    let counts = ServerCounts::start(&redis.url());
    tokio::time::sleep(WATCHED).await;
    let done = counts.stop();
    let used = thread_time("dlock-keeper") - used;
    assert!(guards.iter().all(Guard::is_held), "all are still held");
    let each_second = |figure: f64| figure / WATCHED.as_secs_f64();
    format!(
        "| to acquire them, {AT_ONCE} at once | renewal requests | keeper's processor time | client's memory for each | \
         server's memory for each |\n|---|---|---|---|---|\n\
         | {:.1} s | {:.1} each second | {:.1} ms each second | {client} bytes | {server} bytes |\n",
        taken.as_secs_f64(),
        each_second(done.sent as f64),
        each_second(used.as_secs_f64() * 1000.0),
    )
}

async fn waiting(clients: usize) -> String {
    let redis = servers::Redis::start().await;
    let mut all = Vec::with_capacity(clients);
    for _ in 0..clients {
        all.push(dlock::connect(&redis.url()).await.expect("the server is there"));
    }
    let holder = all[0].lock(NAME).expect("a good name").acquire().await.expect("it is free");
    let (server_before, client_before) = (used_memory(&redis.url()), resident());
    let started = Instant::now();
    let mut waiters = JoinSet::new();
    for number in 0..CROWD {
        waiters.spawn(wait(all[number % clients].clone()));
    }
    while all[0].inspect(NAME).await.expect("the server answers").waiters.len() < CROWD {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let in_line = started.elapsed();
    // Until buffers for the answer to the last look are gone.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let client = resident().saturating_sub(client_before) / CROWD;
    let server = used_memory(&redis.url()).saturating_sub(server_before) / CROWD;
    let started = Instant::now();
    holder.release().await.expect("the server answers");
    waiters.join_all().await;
    let drained = started.elapsed();
    let mut row = String::new();
    writeln!(
        row,
        "| {clients} | {:.1} s | {server} bytes | {client} bytes | {:.1} s |",
        in_line.as_secs_f64(),
        drained.as_secs_f64()
    )
    .expect("a string takes what is written");
    row
}

async fn wait(locks: Locks) {
    let lock = locks.lock(NAME).expect("a good name");
    lock.acquire().await.expect("its turn comes").release().await.expect("the server answers");
}

/// What the server has allocated, in bytes.
fn used_memory(url: &str) -> usize {
    let client = redis::Client::open(url).expect("a good URL");
    let mut connection = client.get_connection().expect("the server is there");
    let info: InfoDict = redis::cmd("INFO").arg("memory").query(&mut connection).expect("the server answers");
    info.get("used_memory").expect("every server tells it")
}
