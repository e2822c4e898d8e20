use std::time::{Duration, Instant};

use dlock::Locks;
use tokio::task::JoinSet;

use super::figures::{CLIENT_BYTES, DRAIN_SECONDS, Figures, LARGEST_IN, LARGEST_OUT, SECONDS};
use super::grpc_tap::GrpcTap;
use super::watcher;
use crate::stores::{ASKED, Watcher};
use crate::usage::resident;

const NAME: &str = "wanted";
/// How long a client of etcd waits for an answer, in seconds. All ask at once, and what etcd does for
/// one of them grows with the line.
pub(super) const PATIENCE: usize = 120;
/// Until all stand in line.
pub(super) const ASKING: &str = "while asking";
/// Until all have had their turn.
pub(super) const DRAINING: &str = "while draining";

/// So many tasks wait for one name, which each of them releases as soon as it holds. Their clients
/// reach at `entrance` the server that is at `url`.
pub(super) async fn measure(url: &str, entrance: &str, tasks: usize, clients: usize) -> Figures {
    let mut all = Vec::with_capacity(clients);
    for _ in 0..clients {
        all.push(dlock::connect(entrance).await.expect("the server is there"));
    }
    let holder = all[0].lock(NAME).expect("a good name").acquire().await.expect("it is free");
    let mut server = watcher(url);
    let (server_before, client_before) = (server(), resident());
    let started = Instant::now();
    let mut waiters = JoinSet::new();
    for number in 0..tasks {
        waiters.spawn(wait(all[number % clients].clone()));
    }
    let mut figures = Figures::default();
    figures.set(SECONDS, settled(&mut server, started).await.as_secs_f64());
    figures.set(CLIENT_BYTES, (resident().saturating_sub(client_before) / tasks) as f64);
    figures.set_growth(ASKING, &server_before, &server());
    let observer = dlock::connect(url).await.expect("the server is there");
    let waiting = observer.inspect(NAME).await.expect("the server answers").waiters.len();
    assert_eq!(waiting, tasks, "all stand in line when they ask for nothing more");
    let server_then = server();
    let started = Instant::now();
    holder.release().await.expect("the server answers");
    waiters.join_all().await;
    figures.set(DRAIN_SECONDS, started.elapsed().as_secs_f64());
    figures.set_growth(DRAINING, &server_then, &server());
    figures
}

/// The same with one client of an etcd server, and how large its messages were.
pub(super) async fn listen(url: &str, tasks: usize) -> Figures {
    let (scheme, address) = url.split_once("://").expect("a URL");
    let tap = GrpcTap::start(address.parse().expect("one server without a password")).await;
    let entrance = format!("{scheme}://{}?request-timeout={PATIENCE}s", tap.address);
    let mut figures = measure(url, &entrance, tasks, 1).await;
    figures.set(LARGEST_IN, tap.largest_request() as f64);
    figures.set(LARGEST_OUT, tap.largest_response() as f64);
    figures
}

async fn wait(locks: Locks) {
    let lock = locks.lock(NAME).expect("a good name");
    lock.acquire().await.expect("its turn comes").release().await.expect("the server answers");
}

/// Waits until nobody asks the server for anything during a second, and answers when the last one did.
async fn settled(server: &mut Watcher, started: Instant) -> Duration {
    let mut before = (0, Duration::ZERO);
    loop {
        let now = started.elapsed();
        let asked = server().iter().find_map(|(what, count)| (*what == ASKED).then_some(*count));
        let asked = asked.expect("every server says how much it was asked for");
        if asked > before.0 {
            before = (asked, now);
        } else if now > before.1 + Duration::from_secs(1) {
            return before.1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
