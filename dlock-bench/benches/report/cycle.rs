use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlock_testkit::servers;
use hdrhistogram::Histogram;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::contenders::{Contender, Dlock, Flock, RawEtcd, RawRedis, TokioMutex};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);

/// Acquire and release of a name that nobody else wants, on every backend beside its floor.
pub(crate) fn report() -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let mut text = format!(
            "## Uncontended cycle\n\n\
             Acquire and release of names that nobody else wants, {ROUNDS} rounds of {} ms in which contenders take \
             turns; the ratio is the median of the rounds' ratios of cycles per second to the floor (the first of each \
             pair).\n\n\
             | | tasks | p50 µs | p99 µs | cycles/s | ratio |\n|---|---|---|---|---|---|\n",
            ROUND.as_millis()
        );
        let scratch = TempDir::new().expect("a temporary directory");
        let redis = servers::Redis::start().await;
        let etcd = servers::Etcd::start().await;
        let flocks = scratch.path().join("flock");
        std::fs::create_dir(&flocks).expect("a temporary directory can be written");
        let pairs: Vec<[Arc<dyn Contender>; 2]> = vec![
            [Arc::new(RawRedis::connect(&redis.url()).await), Arc::new(Dlock::connect(&redis.url()).await)],
        ];
        for pair in &pairs {
            for tasks in [1, 64] {
                compare(pair, tasks, &mut text).await;
            }
        }
        text
    })
}

async fn compare(pair: &[Arc<dyn Contender>; 2], tasks: usize, text: &mut String) {
    let mut latencies: [Histogram<u64>; 2] =
        std::array::from_fn(|_| Histogram::new(3).expect("three digits are allowed"));
    let mut speeds: [Vec<f64>; 2] = Default::default();
    for round in 0..=ROUNDS {
        for (which, contender) in pair.iter().enumerate() {
            let (histogram, speed) = run(contender, tasks).await;
            // The first round only warms up.
            if round > 0 {
                latencies[which].add(&histogram).expect("histograms of one kind");
                speeds[which].push(speed);
            }
        }
    }
    let ratios: Vec<f64> = speeds[1].iter().zip(&speeds[0]).map(|(ours, floor)| ours / floor).collect();
    for (which, contender) in pair.iter().enumerate() {
        let latency = &latencies[which];
        let ratio = if which == 0 { "1".to_owned() } else { format!("{:.2}", median(ratios.clone())) };
        writeln!(
            text,
            "| {} | {tasks} | {:.1} | {:.1} | {:.0} | {ratio} |",
            contender.label(),
            latency.value_at_quantile(0.5) as f64 / 1000.0,
            latency.value_at_quantile(0.99) as f64 / 1000.0,
            median(speeds[which].clone()),
        )
        .expect("a string takes what is written");
    }
}

/// One round: each task goes round on a name of its own until the time is up.
async fn run(contender: &Arc<dyn Contender>, tasks: usize) -> (Histogram<u64>, f64) {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let contender = contender.clone();
        running.spawn(async move {
            let name = format!("bench-{task}");
            let mut latencies = Vec::new();
            while started.elapsed() < ROUND {
                let begun = Instant::now();
                contender.cycle(&name).await;
                latencies.push(begun.elapsed().as_nanos() as u64);
            }
            latencies
        });
    }
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    while let Some(latencies) = running.join_next().await {
        for latency in latencies.expect("a contender does not panic") {
            histogram.record(latency).expect("the histogram grows");
        }
    }
    let speed = histogram.len() as f64 / started.elapsed().as_secs_f64();
    (histogram, speed)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
