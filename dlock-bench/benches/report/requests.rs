use std::fmt::Write;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use dlock_testkit::servers;

use crate::contended;
use crate::contended::race::{self, QUOTA, TASKS};
use crate::contenders::on_redis;
use crate::server_counts::{Done, ServerCounts};

const CYCLES: usize = 1000;
const NAME: &str = "counted";
const IDLE: Duration = Duration::from_secs(60);

/// What locks ask of a Redis server.
pub(crate) fn report() -> String {
    crate::runtime().block_on(async {
        format!(
            "## Requests to Redis\n\n\
             What the server counted for each acquisition and its release: how often it read from connections, the \
             commands that clients sent, and the commands that it ran, those inside scripts included. Who asks for one \
             thing at a time has one read for each request; a request may have several commands.\n\n{}\n{}\n{}",
            uncontended().await,
            contended().await,
            idle().await
        )
    })
}

async fn uncontended() -> String {
    let redis = servers::Redis::start().await;
    let mut text = "| nobody else wants it | reads | sent | run |\n|---|---|---|---|\n".to_owned();
    for contender in on_redis(&redis.url()).await {
        let turn = async || contender.turn(0, NAME, pin!(ready(()))).await;
        // What a client does once is not part of a cycle.
        turn().await;
        let counts = ServerCounts::start(&redis.url());
        for _ in 0..CYCLES {
            turn().await;
        }
        row(&mut text, &contender.label(), &counts.stop(), CYCLES);
    }
    text
}

async fn contended() -> String {
    let redis = servers::Redis::start().await;
    let contenders = contended::all(&redis.url()).await;
    let mut text = String::new();
    for hold in contended::HOLDS {
        write!(text, "| {TASKS} want it, held {} ms | reads | sent | run |\n|---|---|---|---|\n", hold.as_millis())
            .expect("a string takes what is written");
        for contender in &contenders {
            let counts = ServerCounts::start(&redis.url());
            race::run(contender, contended::NAME, hold).await;
            row(&mut text, &contender.label(), &counts.stop(), TASKS * QUOTA);
        }
        text += "\n";
    }
    text.trim_end().to_owned() + "\n"
}

/// One client holds a name, for which it also waits, and nothing happens.
async fn idle() -> String {
    let redis = servers::Redis::start().await;
    let locks = dlock::connect(&redis.url()).await.expect("the server is there");
    let lock = locks.lock(NAME).expect("a good name");
    let guard = lock.acquire().await.expect("it is free");
    let waiting: Vec<_> = (0..TASKS)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move { lock.acquire().await.expect("its turn comes").release().await })
        })
        .collect();
    while locks.inspect(NAME).await.expect("the server answers").waiters.len() < TASKS {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let counts = ServerCounts::start(&redis.url());
    tokio::time::sleep(IDLE).await;
    let done = counts.stop();
    guard.release().await.expect("the server answers");
    for waiter in waiting {
        waiter.await.expect("it does not panic").expect("the server answers");
    }
    format!(
        "A client of dlock that holds one name with the default ttl of 30 s, for which {TASKS} of its tasks wait, sent \
         {} commands in {} s.\n",
        done.sent,
        IDLE.as_secs()
    )
}

fn row(text: &mut String, label: &str, done: &Done, acquisitions: usize) {
    let each = |count: u64| count as f64 / acquisitions as f64;
    writeln!(text, "| {label} | {:.2} | {:.2} | {:.2} |", each(done.reads), each(done.sent), each(done.run))
        .expect("a string takes what is written");
}
