use std::time::{Duration, Instant};

use crate::usage::{resident, thread_time};

const LOCKS: usize = 100_000;
const WATCHED: Duration = Duration::from_secs(30);

/// What a hundred thousand held locks cost.
pub(crate) fn report() -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let locks = dlock::connect("memory:holding").await.expect("memory always answers");
        let before = resident();
        let started = Instant::now();
        let mut guards = Vec::with_capacity(LOCKS);
        for number in 0..LOCKS {
            let lock = locks.lock(format!("held/{number}")).expect("a good name");
            guards.push(lock.acquire().await.expect("it is free"));
        }
        let taken = started.elapsed();
        let bytes = resident().saturating_sub(before) / LOCKS;
        let used = thread_time("dlock-keeper");
        tokio::time::sleep(WATCHED).await;
        let used = thread_time("dlock-keeper") - used;
        assert!(guards.iter().all(dlock::Guard::is_held), "all are still held");
        format!(
            "## A hundred thousand held locks\n\n\
             One client, the memory backend (whose store is in the same process and on the keeper's thread), ttl \
             30 s.\n\n| to acquire them | memory for each, the store's record included | keeper's processor time |\n|---|---|---|\n\
             | {:.1} s | {bytes} bytes | {:.1} ms each second |\n",
            taken.as_secs_f64(),
            used.as_secs_f64() * 1000.0 / WATCHED.as_secs_f64(),
        )
    })
}
