use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::contenders::Contender;

/// What all want.
pub(crate) const NAME: &str = "contended";

/// What a race is about.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) tasks: usize,
    /// How often each task holds: a lock that favours some is done no sooner.
    pub(crate) quota: usize,
    pub(crate) hold: Duration,
}

/// How a race went in which all tasks wanted one name.
pub(crate) struct Race {
    /// Until the last task was through with its turns.
    pub(crate) time: Duration,
    /// When the first task was, as a part of the whole time.
    pub(crate) first_done: f64,
    /// As it was, not as it was meant to be.
    pub(crate) mean_hold: Duration,
    pub(crate) longest_wait: Duration,
    /// In nanoseconds, of those turns whose taker was waiting before the name came free.
    pub(crate) hand_over: Histogram<u64>,
}

/// One time that a task held the name.
struct Turn {
    asked: Instant,
    held: Instant,
    releasing: Instant,
    released: Instant,
}

impl Terms {
    pub(crate) fn acquisitions(self) -> usize {
        self.tasks * self.quota
    }
}

pub(crate) async fn run(contender: &Arc<dyn Contender>, terms: Terms) -> Race {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..terms.tasks {
        let contender = contender.clone();
        running.spawn(async move {
            let mut turns = Vec::with_capacity(terms.quota);
            for _ in 0..terms.quota {
                turns.push(take_turn(contender.as_ref(), task, terms.hold).await);
            }
            turns
        });
    }
    let tasks = running.join_all().await;
    let done = |turns: &Vec<Turn>| turns.last().expect("the quota is not 0").released - started;
    let time = tasks.iter().map(done).max().expect("there are tasks");
    let first_done = tasks.iter().map(done).min().expect("there are tasks").div_duration_f64(time);
    judge(tasks.into_iter().flatten().collect(), time, first_done)
}

async fn take_turn(contender: &dyn Contender, task: usize, hold: Duration) -> Turn {
    let asked = Instant::now();
    let mut stamps = None;
    let while_held = async {
        let held = Instant::now();
        hold_for(hold).await;
        stamps = Some((held, Instant::now()));
    };
    contender.turn(task, NAME, pin!(while_held)).await;
    let released = Instant::now();
    let (held, releasing) = stamps.expect("the contender awaits what is done while it holds");
    Turn { asked, held, releasing, released }
}

/// Sleeps, unless for no time, without rounding up to whole milliseconds as the runtime's own sleep does.
pub(crate) async fn hold_for(time: Duration) {
    if !time.is_zero() {
        tokio::task::spawn_blocking(move || std::thread::sleep(time)).await.expect("sleeping does not panic");
    }
}

fn judge(mut turns: Vec<Turn>, time: Duration, first_done: f64) -> Race {
    turns.sort_by_key(|turn| turn.held);
    let mut hand_over = Histogram::new(3).expect("three digits are allowed");
    for pair in turns.windows(2) {
        let [before, after] = pair else { continue };
        assert!(before.releasing <= after.held, "two tasks held the name at the same time");
        if after.asked < before.releasing {
            hand_over.record((after.held - before.releasing).as_nanos() as u64).expect("the histogram grows");
        }
    }
    let mean_hold = turns.iter().map(|turn| turn.releasing - turn.held).sum::<Duration>() / turns.len() as u32;
    let longest_wait = turns.iter().map(|turn| turn.held - turn.asked).max().unwrap_or_default();
    Race { time, first_done, mean_hold, longest_wait, hand_over }
}
