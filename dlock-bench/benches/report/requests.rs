use std::fmt::Write;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use crate::contended::RACES;
use crate::contended::race::{self, Terms};
use crate::stores::Store;

const CYCLES: usize = 1000;
/// To see whether a release wakes more than one of those who wait.
const HERD: Terms = Terms { tasks: 64, quota: 10, hold: Duration::ZERO };

/// What locks ask of a server.
pub(crate) fn report<S: Store>() -> String {
    crate::runtime().block_on(async {
        let mut text = format!(
            "## Requests to {}\n\nWhat the server counted for each acquisition and its release: {}\n",
            S::NAME,
            S::COUNTED_MEANS
        );
        text += &uncontended::<S>().await;
        for terms in RACES.into_iter().chain([HERD]) {
            text += &contended::<S>(terms).await;
        }
        text
    })
}

async fn uncontended<S: Store>() -> String {
    let store = S::start().await;
    let mut text = heading::<S>("nobody else wants it");
    for contender in store.alone().await {
        let turn = async || contender.turn(0, "counted", pin!(ready(()))).await;
        // What a client does once is not part of a cycle.
        turn().await;
        let count = store.count();
        for _ in 0..CYCLES {
            turn().await;
        }
        text += &row(&contender.label(), &count(), CYCLES);
    }
    text
}

async fn contended<S: Store>(terms: Terms) -> String {
    let store = S::start().await;
    let mut text = heading::<S>(&format!("{} want it, held {} ms", terms.tasks, terms.hold.as_millis()));
    for contender in store.contended(terms.tasks).await {
        let count = store.count();
        race::run(&contender, terms).await;
        text += &row(&contender.label(), &count(), terms.acquisitions());
    }
    text
}

fn heading<S: Store>(case: &str) -> String {
    format!("\n| {case} | {} |\n|---|{}\n", S::COUNTED.join(" | "), "---|".repeat(S::COUNTED.len()))
}

fn row(label: &str, counts: &[u64], acquisitions: usize) -> String {
    let mut text = format!("| {label} |");
    for count in counts {
        let each = *count as f64 / acquisitions as f64;
        // Of requests a hundredth matters, of bytes not even one.
        let digits = if each < 100.0 { 2 } else { 0 };
        write!(text, " {each:.digits$} |").expect("a string takes what is written");
    }
    text + "\n"
}
