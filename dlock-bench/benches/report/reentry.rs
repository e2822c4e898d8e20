use std::hint::black_box;
use std::time::Instant;

use dlock::Locks;
use futures::FutureExt;
use futures::executor::block_on;

const CYCLES: u32 = 200_000;
const ROUNDS: usize = 15;

/// What an owner pays for a name that it holds already.
pub(crate) fn report() -> String {
    let locks: Locks = block_on(dlock::connect("memory:")).expect("memory always answers");
    let owner = locks.owner("bench");
    let lock = owner.lock("held").expect("a good name");
    let outer = block_on(lock.acquire()).expect("nobody else is here");

    // Re-entry never waits, so one poll is all that it takes.
    let cycle = || drop(black_box(lock.acquire().now_or_never()).expect("it is ready").expect("it is held"));
    let allocated = allocation_counter::measure(|| {
        for _ in 0..1000 {
            cycle();
        }
    });
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..CYCLES {
                cycle();
            }
            started.elapsed().as_nanos() as f64 / f64::from(CYCLES)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let checked = {
        let started = Instant::now();
        for _ in 0..CYCLES {
            black_box(outer.is_held());
        }
        started.elapsed().as_nanos() as f64 / f64::from(CYCLES)
    };
    format!(
        "## Re-entry\n\n\
         Acquire and drop of a name that the owner holds, {ROUNDS} rounds of {CYCLES}; the memory backend.\n\n\
         | median | best | allocations in 1,000 cycles | `is_held()` |\n|---|---|---|---|\n\
         | {:.0} ns | {:.0} ns | {} | {checked:.0} ns |\n",
        rounds[ROUNDS / 2],
        rounds[0],
        allocated.count_total,
    )
}
