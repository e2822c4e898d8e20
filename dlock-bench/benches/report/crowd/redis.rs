use std::fmt::Write;

use super::figures::{CLIENT_BYTES, DRAIN_SECONDS, Figures, KEEPER_MILLIS, SECONDS};
use super::hold::{ACQUIRING, AT_ONCE, HOLDING};
use super::wait::ASKING;
use super::{Role, WATCHED, measure};
use crate::stores::Redis;

const CROWD: usize = 10_000;
const ROUNDS: usize = 3;

/// Ten thousand locks of one client, and ten thousand waiters for one name.
pub(crate) fn report() -> String {
    let mut text = format!(
        "## Ten thousand, on Redis\n\n\
         {CROWD} locks with the default ttl of 30 s, held by one client, watched for {} s:\n\n\
         | to acquire them, {AT_ONCE} at once | renewal requests | keeper's processor time | client's memory for each | \
         server's memory for each |\n|---|---|---|---|---|\n",
        WATCHED.as_secs()
    );
    let held = measure::<Redis>(Role::Hold { locks: CROWD });
    writeln!(
        text,
        "| {:.1} s | {:.1} each second | {:.1} ms each second | {} bytes | {:.0} bytes |\n",
        held.get(SECONDS),
        held.growth("scripts", HOLDING) / WATCHED.as_secs_f64(),
        held.get(KEEPER_MILLIS),
        held.get(CLIENT_BYTES),
        held.growth("memory", ACQUIRING) / CROWD as f64,
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
            rounds.push(measure::<Redis>(Role::Wait { tasks: CROWD, clients }));
        }
    }
    for (rounds, clients) in rounds.iter().zip(counts) {
        let waited = Figures::medians(rounds);
        writeln!(
            text,
            "| {clients} | {:.1} s | {:.0} bytes | {} bytes | {:.1} s |",
            waited.get(SECONDS),
            waited.growth("memory", ASKING) / CROWD as f64,
            waited.get(CLIENT_BYTES),
            waited.get(DRAIN_SECONDS),
        )
        .expect("a string takes what is written");
    }
    text
}
