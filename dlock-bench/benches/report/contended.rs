//! Several tasks want one name.

pub(crate) mod race;

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use self::race::{Race, Terms};
use crate::contenders::Contender;
use crate::figures::{median, micros};
use crate::stores::Store;

pub(crate) const RACES: [Terms; 2] = [
    Terms { tasks: TASKS, quota: QUOTA, hold: Duration::ZERO },
    Terms { tasks: TASKS, quota: QUOTA, hold: Duration::from_millis(5) },
];
const TASKS: usize = 16;
const QUOTA: usize = 40;
const ROUNDS: [usize; RACES.len()] = [5, 3];
const ROUND_TRIPS: usize = 50;

/// How a name goes round among those who wait for it.
pub(crate) fn report<S: Store>() -> String {
    crate::runtime().block_on(async {
        let store = Arc::new(S::start().await);
        let contenders = store.contended(TASKS).await;
        let mut text = format!(
            "## Contended, on {}\n\n\
             {TASKS} tasks want one name, {QUOTA} times each; several rounds in which those who are compared take \
             turns; all tasks on one runtime of two threads. Time is the median of the rounds; the longest wait is the \
             median of the rounds' longest, and in brackets the longest of all. A hand-over reaches from before the \
             call that releases to after the acquire of the next, who was waiting, has returned. A round trip is {} on \
             a connection like theirs, between the races and at their pace. First done: when the first task was \
             through with its turns, as a part of the whole time (1 is fair).\n",
            S::NAME,
            S::ROUND_TRIP,
        );
        for (terms, rounds) in RACES.into_iter().zip(ROUNDS) {
            let mut races: Vec<Vec<Race>> = contenders.iter().map(|_| Vec::new()).collect();
            let mut round_trip = Histogram::new(3).expect("three digits are allowed");
            for _ in 0..rounds {
                for (contender, races) in contenders.iter().zip(&mut races) {
                    let measured = tokio::spawn(measure_round_trip(store.clone(), terms.hold));
                    round_trip.add(measured.await.expect("the server answers")).expect("histograms of one kind");
                    races.push(race::run(contender, terms).await);
                }
            }
            text += &table(&contenders, &races, terms.hold, &round_trip);
        }
        text
    })
}

async fn measure_round_trip<S: Store>(store: Arc<S>, pause: Duration) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    for _ in 0..ROUND_TRIPS {
        race::hold_for(pause).await;
        let started = Instant::now();
        store.round_trip().await;
        histogram.record(started.elapsed().as_nanos() as u64).expect("the histogram grows");
    }
    histogram
}

fn table(
    contenders: &[Arc<dyn Contender>],
    races: &[Vec<Race>],
    hold: Duration,
    round_trip: &Histogram<u64>,
) -> String {
    let one_trip = micros(round_trip, 0.5);
    let rounds = races[0].len();
    let mut text = if hold.is_zero() {
        format!("\nHeld for no time, {rounds} rounds")
    } else {
        let held = mean_hold(races.iter().flatten());
        format!(
            "\nHeld for {} ms, {:.2} ms as it was, {rounds} rounds; the ideal is that times {} for all, times {TASKS} \
             for the longest wait",
            hold.as_millis(),
            millis(held),
            TASKS * QUOTA,
        )
    };
    write!(text, ". Round trip p50 {one_trip:.0} µs, p99 {:.0} µs.\n\n", micros(round_trip, 0.99))
        .expect("a string takes what is written");
    text += if hold.is_zero() {
        "| | acquisitions/s | longest wait ms | hand-over p50 µs | p99 µs | p99/p50 | p50 in round trips | \
         first done |\n|---|---|---|---|---|---|---|---|\n"
    } else {
        "| | time s | ratio to ideal | longest wait ms | ratio to ideal | hand-over p50 µs | p99 µs | p99/p50 | \
         p50 in round trips | first done |\n|---|---|---|---|---|---|---|---|---|---|\n"
    };
    for (contender, races) in contenders.iter().zip(races) {
        let mut hand_over = Histogram::new(3).expect("three digits are allowed");
        for race in races {
            hand_over.add(&race.hand_over).expect("histograms of one kind");
        }
        let [p50, p99] = [0.5, 0.99].map(|quantile| micros(&hand_over, quantile));
        let time = median(races.iter().map(|race| race.time.as_secs_f64()));
        let longest = median(races.iter().map(|race| millis(race.longest_wait)));
        let longest_of_all = races.iter().map(|race| millis(race.longest_wait)).fold(0.0, f64::max);
        let waits = format!("{longest:.1} ({longest_of_all:.1})");
        let of_race = if hold.is_zero() {
            format!("{:.0} | {waits}", (TASKS * QUOTA) as f64 / time)
        } else {
            let times = races.iter().map(|race| race.time.div_duration_f64(race.mean_hold * (TASKS * QUOTA) as u32));
            let waits_to_ideal: Vec<f64> =
                races.iter().map(|race| race.longest_wait.div_duration_f64(race.mean_hold * TASKS as u32)).collect();
            format!(
                "{time:.2} | {:.2} | {waits} | {:.2} ({:.2})",
                median(times),
                median(waits_to_ideal.iter().copied()),
                waits_to_ideal.iter().copied().fold(0.0, f64::max),
            )
        };
        writeln!(
            text,
            "| {} | {of_race} | {p50:.0} | {p99:.0} | {:.1} | {:.1} | {:.2} |",
            contender.label(),
            p99 / p50,
            p50 / one_trip,
            median(races.iter().map(|race| race.first_done)),
        )
        .expect("a string takes what is written");
    }
    text
}

fn mean_hold<'a>(races: impl IntoIterator<Item = &'a Race>) -> Duration {
    let holds: Vec<Duration> = races.into_iter().map(|race| race.mean_hold).collect();
    holds.iter().sum::<Duration>() / holds.len() as u32
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
