use std::fmt::Write;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::contenders::{Contender, Dlock, Flock, TokioMutex};
use crate::figures::{median, micros};
use crate::stores::{Etcd, Redis, Store};

/// What [`report`] can compare.
pub(crate) const GROUPS: [&str; 4] = ["memory", "file", "redis", "etcd"];
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);

/// Acquire and release of a name that nobody else wants, on these backends beside their floors.
pub(crate) fn report(groups: &[&str]) -> String {
    crate::runtime().block_on(async {
        let mut text = format!(
            "## Uncontended cycle\n\n\
             Acquire and release of names that nobody else wants, {ROUNDS} rounds of {} ms in which those who are \
             compared take turns. The ratios are to the floor, the first of each group, and each is the median of the \
             rounds' ratios.\n\n\
             | | tasks | p50 µs | p99 µs | cycles/s | ratio of p50 | ratio of cycles/s |\n|---|---|---|---|---|---|---|\n",
            ROUND.as_millis()
        );
        for group in groups {
            match *group {
                "memory" => {
                    compare(&[Arc::new(TokioMutex::default()), Arc::new(Dlock::connect("memory:cycle").await)], &mut text)
                        .await;
                }
                "file" => {
                    let scratch = TempDir::new().expect("a temporary directory");
                    let url = format!("file://{}/dlock", scratch.path().display());
                    let flocks = scratch.path().join("flock");
                    std::fs::create_dir(&flocks).expect("a temporary directory can be written");
                    compare(&[Arc::new(Flock(flocks)), Arc::new(Dlock::connect(&url).await)], &mut text).await;
                }
                "redis" => compare_on::<Redis>(&mut text).await,
                "etcd" => compare_on::<Etcd>(&mut text).await,
                other => unreachable!("{other} is no group"),
            }
        }
        text
    })
}

async fn compare_on<S: Store>(text: &mut String) {
    let store = S::start().await;
    compare(&store.alone().await, text).await;
}

/// What one contender did in one round.
struct Round {
    latency: Histogram<u64>,
    speed: f64,
}

async fn compare(group: &[Arc<dyn Contender>], text: &mut String) {
    for tasks in [1, 64] {
        compare_with(group, tasks, text).await;
    }
}

async fn compare_with(group: &[Arc<dyn Contender>], tasks: usize, text: &mut String) {
    let mut rounds: Vec<Vec<Round>> = group.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        for (contender, rounds) in group.iter().zip(&mut rounds) {
            let done = run(contender, tasks).await;
            // The first round only warms up.
            if round > 0 {
                rounds.push(done);
            }
        }
    }
    let floor = &rounds[0];
    for (contender, rounds) in group.iter().zip(&rounds) {
        let mut latency = Histogram::new(3).expect("three digits are allowed");
        for round in rounds {
            latency.add(&round.latency).expect("histograms of one kind");
        }
        let ratio = |figure: fn(&Round) -> f64| {
            median(rounds.iter().zip(floor).map(|(round, floor)| figure(round) / figure(floor)))
        };
        writeln!(
            text,
            "| {} | {tasks} | {:.1} | {:.1} | {:.0} | {:.2} | {:.2} |",
            contender.label(),
            micros(&latency, 0.5),
            micros(&latency, 0.99),
            median(rounds.iter().map(|round| round.speed)),
            ratio(|round| micros(&round.latency, 0.5)),
            ratio(|round| round.speed),
        )
        .expect("a string takes what is written");
    }
}

/// One round: each task goes round on a name of its own until the time is up.
async fn run(contender: &Arc<dyn Contender>, tasks: usize) -> Round {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let contender = contender.clone();
        running.spawn(async move {
            let name = format!("bench-{task}");
            let mut latencies = Vec::new();
            while started.elapsed() < ROUND {
                let begun = Instant::now();
                contender.turn(task, &name, pin!(ready(()))).await;
                latencies.push(begun.elapsed().as_nanos() as u64);
            }
            latencies
        });
    }
    let mut latency = Histogram::new(3).expect("three digits are allowed");
    while let Some(latencies) = running.join_next().await {
        for nanos in latencies.expect("a contender does not panic") {
            latency.record(nanos).expect("the histogram grows");
        }
    }
    let speed = latency.len() as f64 / started.elapsed().as_secs_f64();
    Round { latency, speed }
}
