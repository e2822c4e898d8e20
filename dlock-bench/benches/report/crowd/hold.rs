use std::time::Instant;

use dlock::Guard;
use tokio::task::JoinSet;

use super::figures::{CLIENT_BYTES, Figures, KEEPER_MILLIS, SECONDS};
use super::{WATCHED, watcher};
use crate::usage::{resident, thread_time};

/// How many tasks ask at the same time for names of their own.
pub(super) const AT_ONCE: usize = 64;
/// While the locks are acquired.
pub(super) const ACQUIRING: &str = "while acquiring";
/// While nothing happens but that they are held.
pub(super) const HOLDING: &str = "while holding";

/// One client holds so many locks.
pub(super) async fn measure(url: &str, count: usize) -> Figures {
    let locks = dlock::connect(url).await.expect("the server is there");
    let mut server = watcher(url);
    let (server_before, client_before) = (server(), resident());
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for task in 0..AT_ONCE {
        let locks = locks.clone();
        asking.spawn(async move {
            let mut guards = Vec::new();
            for number in (task..count).step_by(AT_ONCE) {
                let lock = locks.lock(format!("held/{number}")).expect("a good name");
                guards.push(lock.acquire().await.expect("it is free"));
            }
            guards
        });
    }
    let guards: Vec<Guard> = asking.join_all().await.into_iter().flatten().collect();
    let mut figures = Figures::default();
    figures.set(SECONDS, started.elapsed().as_secs_f64());
    figures.set(CLIENT_BYTES, (resident().saturating_sub(client_before) / count) as f64);
    let server_then = server();
    figures.set_growth(ACQUIRING, &server_before, &server_then);
    let used = thread_time("dlock-keeper");
    tokio::time::sleep(WATCHED).await;
    figures.set_growth(HOLDING, &server_then, &server());
    let used = thread_time("dlock-keeper") - used;
    figures.set(KEEPER_MILLIS, used.as_secs_f64() * 1000.0 / WATCHED.as_secs_f64());
    assert!(guards.iter().all(Guard::is_held), "all are still held");
    figures
}
