mod idle;

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use dlock_testkit::servers;
use futures::executor::block_on;
use tempfile::TempDir;

use self::idle::{Idle, TASKS};
use crate::stores::{Etcd, Redis};
use crate::usage::process_time;

const URL: &str = "DLOCK_BENCH_WAIT_ON";
const MINUTE: Duration = Duration::from_secs(60);

/// Processor time of a process that waits for a name over a minute.
pub(crate) fn report() -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let dir = TempDir::new().expect("a temporary directory");
        let redis = servers::Redis::start().await;
        let etcd = servers::Etcd::start().await;
        let urls = [("file", format!("file://{}", dir.path().display())), ("redis", redis.url()), ("etcd", etcd.url())];
        let mut waiters = Vec::new();
        for (scheme, url) in &urls {
            let locks = dlock::connect(url).await.expect("the service is there");
            let guard = locks.lock("held").expect("a good name").acquire().await.expect("it is free");
            let waiter = start(url);
            while locks.inspect("held").await.expect("the service answers").waiters.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            waiters.push((scheme, waiter, guard));
        }
        let (idle_on_redis, idle_on_etcd) = (Idle::<Redis>::start().await, Idle::<Etcd>::start().await);
        // What starting up cost is not part of waiting.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before: Vec<Duration> = waiters.iter().map(|(_, waiter, _)| process_time(waiter.id())).collect();
        let (redis_count, etcd_count) = (idle_on_redis.count(), idle_on_etcd.count());
        tokio::time::sleep(MINUTE).await;
        let (redis_counts, etcd_counts) = (redis_count(), etcd_count());
        let mut text = "## A waiter over a minute\n\n\
             Processor time of a process that waits for one name with the default ttl of 30 s, renewals included \
             (counted in ticks of 10 ms).\n\n| backend | ms |\n|---|---|\n"
            .to_owned();
        for ((scheme, mut waiter, guard), before) in waiters.into_iter().zip(before) {
            let used = process_time(waiter.id()) - before;
            text += &format!("| {scheme} | {} |\n", used.as_millis());
            let _ = waiter.kill();
            let _ = waiter.wait();
            drop(guard);
        }
        text += &format!(
            "\nIn the same minute, on other servers: what a client asks for that holds one name with that ttl, for \
             which {TASKS} of its tasks wait, in the words of the tables of requests.\n\n\
             | server | counted |\n|---|---|\n"
        );
        text += &idle_on_redis.end(&redis_counts).await;
        text += &idle_on_etcd.end(&etcd_counts).await;
        text
    })
}

/// In a process that the measurement started: waits for ever.
pub(crate) fn play_role() -> Option<ExitCode> {
    let url = std::env::var(URL).ok()?;
    let locks = block_on(dlock::connect(&url)).expect("the service is there");
    let _guard = block_on(locks.lock("held").expect("a good name").acquire());
    Some(ExitCode::SUCCESS)
}

fn start(url: &str) -> Child {
    let program = std::env::current_exe().expect("a program knows its own file");
    let command = Command::new(program).env(URL, url).stdin(Stdio::null()).spawn();
    command.expect("this program can start itself")
}
