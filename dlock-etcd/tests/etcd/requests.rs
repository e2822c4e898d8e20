//! What things cost, by the server's own count.

use std::time::{Duration, Instant};

use dlock_core::{Claim, ClaimRef, Locks, Mode, Queue, Renewal, Requested};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::Etcd;

use crate::client::{Client, EXCLUSIVE, fresh_namespace, permit};
use crate::meter::Meter;

async fn server() -> Option<Etcd> {
    Etcd::installed().ok()?;
    Some(Etcd::start().await)
}

async fn locks(server: &Etcd, ttl: Duration) -> Locks {
    let config = EtcdConfig::from_url(&server.url()).unwrap();
    Locks::builder(config).ttl(ttl).connect().await.unwrap()
}

const LONG: Duration = Duration::from_secs(60);

/// Until every claim has its own key watched, and each waiter its predecessor's.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

#[tokio::test]
async fn a_cycle_is_one_transaction_and_one_deletion() {
    let Some(server) = server().await else { return };
    let locks = locks(&server, LONG).await;
    let lock = locks.lock("a").unwrap();
    let cycle = async || lock.try_acquire().await.unwrap().expect("it is free").release().await.unwrap();
    cycle().await;
    let meter = Meter::of(&server).await;
    for _ in 0..100 {
        cycle().await;
    }
    let cost = meter.read().await;
    assert_eq!((cost.calls("Txn"), cost.calls("DeleteRange")), (100, 100), "{cost:?}");
    // A connection of the caller's own begins with a look, whenever it is ready.
    assert!(cost.requests() <= 201, "{cost:?}");
}

#[tokio::test]
async fn a_contended_acquisition_is_four_requests_at_most() {
    const TASKS: usize = 12;
    const EACH: usize = 25;
    let Some(server) = server().await else { return };
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(locks(&server, LONG).await);
    }
    for mode in [EXCLUSIVE, permit(2)] {
        let meter = Meter::of(&server).await;
        let tasks = (0..TASKS).map(|task| {
            let locks = clients[task % clients.len()].clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let guard = match mode {
                        Mode::Permit { limit } => locks.semaphore("p", limit.get()).unwrap().acquire().await,
                        _ => locks.lock("x").unwrap().acquire().await,
                    };
                    guard.unwrap().release().await.unwrap();
                }
            })
        });
        for task in futures::future::join_all(tasks).await {
            task.unwrap();
        }
        let cost = meter.read().await;
        let acquisitions = u64::try_from(TASKS * EACH).unwrap();
        assert!(cost.requests() <= 4 * acquisitions, "{acquisitions} acquisitions of {mode}: {cost:?}");
        // Watches are begun and ended on one stream for each client: each one on another key with a second one that proves
        // it to be up to date.
        assert_eq!(cost.calls("Watch"), 0, "{cost:?}");
        assert!(cost.messages("Watch") <= 6 * acquisitions, "{acquisitions} acquisitions of {mode}: {cost:?}");
    }
}

#[tokio::test]
async fn a_thousand_claims_are_one_keep_alive() {
    let Some(server) = server().await else { return };
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    client.ttl = Duration::from_secs(6);
    let claims: Vec<_> = (0..1000).map(|n| client.claim(&format!("a/{n}"), EXCLUSIVE)).collect();
    request(&client, &claims, |answer| matches!(answer, Requested::Held(..))).await;
    settle().await;
    let all: Vec<ClaimRef> = claims.iter().map(Claim::to_ref).collect();
    let renew = async || {
        for renewal in client.backend.renew(&all).await {
            assert!(matches!(renewal, Ok(Renewal::Alive { grant: Some(_), .. })));
        }
    };
    // The first one opens the stream.
    renew().await;
    let meter = Meter::of(&server).await;
    for _ in 0..3 {
        // A lease that was renewed within a sixth of its ttl need not be renewed again.
        tokio::time::sleep(client.ttl / 5).await;
        renew().await;
    }
    let cost = meter.read().await;
    assert_eq!(cost.messages("LeaseKeepAlive"), 3, "{cost:?}");
    assert_eq!(cost.requests(), 3, "one read of a majority for each: {cost:?}");
}

#[tokio::test]
async fn a_thousand_locks_that_are_held_cost_a_keep_alive_each_third_of_the_ttl() {
    let Some(server) = server().await else { return };
    let locks = locks(&server, Duration::from_secs(3)).await;
    let mut guards = Vec::new();
    for some in 0..20 {
        let asked = (0..50).map(|n| {
            let lock = locks.lock(format!("a/{some}/{n}").as_str()).unwrap();
            async move { lock.acquire().await.unwrap() }
        });
        guards.extend(futures::future::join_all(asked).await);
    }
    settle().await;
    let (meter, start) = (Meter::of(&server).await, Instant::now());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (cost, seconds) = (meter.read().await, start.elapsed().as_secs_f64());
    assert!(guards.iter().all(dlock_core::Guard::is_held));
    let keep_alives = cost.messages("LeaseKeepAlive");
    assert!(keep_alives >= 3 && keep_alives as f64 <= seconds + 1.0, "in {seconds} s: {cost:?}");
    assert!(cost.requests() as f64 <= seconds + 1.0, "in {seconds} s: {cost:?}");
}

#[tokio::test]
async fn one_release_makes_one_waiter_look() {
    let Some(server) = server().await else { return };
    for mode in [EXCLUSIVE, permit(3)] {
        let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
        let mut holders = Vec::new();
        let held = if mode == EXCLUSIVE { 1 } else { 3 };
        for _ in 0..held {
            holders.push(client.hold("a", mode).await.0);
        }
        let mut waiters = Vec::new();
        for _ in 0..64 {
            waiters.push(client.queue("a", mode).await);
        }
        settle().await;
        let meter = Meter::of(&server).await;
        for waiter in &waiters[..10] {
            client.release(&holders.remove(0)).await;
            client.granted(waiter).await;
            holders.push(waiter.clone());
        }
        let cost = meter.read().await;
        assert_eq!(cost.requests(), 20, "a deletion and a look for each release of {mode}: {cost:?}");
    }
}

#[tokio::test]
async fn a_permit_counts_those_only_who_leave_after_it_came() {
    let Some(server) = server().await else { return };
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let (first, _) = client.hold("a", permit(2)).await;
    let (second, _) = client.hold("a", permit(2)).await;
    let third = client.queue("a", permit(2)).await;
    let fourth = client.queue("a", permit(2)).await;
    settle().await;
    client.release(&first).await;
    client.granted(&third).await;
    // It joins the watch of the fourth, which has seen the first one go.
    let fifth = client.queue("a", permit(2)).await;
    settle().await;
    let meter = Meter::of(&server).await;
    for (leaves, comes) in [(&second, &fourth), (&third, &fifth)] {
        client.release(leaves).await;
        client.granted(comes).await;
    }
    let cost = meter.read().await;
    assert_eq!(cost.requests(), 4, "a deletion and a look for each release: {cost:?}");
    assert_eq!(server_watches(&server).await, 2, "one on the key of each holder");
}

/// How many watches there are.
async fn server_watches(server: &Etcd) -> u64 {
    let metrics = crate::client::metrics(&server.addr().to_string()).await;
    let line = metrics.lines().find(|line| line.starts_with("etcd_debugging_mvcc_watcher_total "));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse::<f64>().unwrap() as u64)
}

#[tokio::test]
async fn a_grant_never_waits_for_the_server_to_catch_up_with_a_watch() {
    let Some(server) = server().await else { return };
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let mut slow = 0;
    for _ in 0..50 {
        let (holder, _) = client.hold("a", EXCLUSIVE).await;
        let waiter = client.queue("a", EXCLUSIVE).await;
        // At once: the watch on the holder's key begins at about the same time.
        client.release(&holder).await;
        let released = Instant::now();
        client.granted(&waiter).await;
        slow += u32::from(released.elapsed() > Duration::from_millis(60));
        client.release(&waiter).await;
    }
    assert!(slow < 25, "{slow} of 50 grants took longer than a watch needs");
}

#[tokio::test]
async fn messages_stay_small_however_many_wait() {
    let Some(server) = server().await else { return };
    // The server sorts a whole line for each who joins it.
    let config = EtcdConfig::from_url(&server.url()).unwrap().with_request_timeout(LONG);
    let mut client = Client::with(config, &fresh_namespace()).await;
    client.ttl = Duration::from_secs(600);
    for (mode, waiters) in [(permit(1), 500), (EXCLUSIVE, 5_000)] {
        let line = Line::form(&server, &client, mode, waiters).await;
        let handed_over = line.hand_over(&server, &mut client, 20).await;
        assert!(handed_over < 1_500, "{handed_over} bytes for each grant of {mode}");
    }
}

/// A holder, and those who wait behind it.
struct Line(Vec<Claim>);

impl Line {
    /// Of so many waiters the last ones cost no more than the first ones.
    async fn form(server: &Etcd, client: &Client, mode: Mode, waiters: usize) -> Self {
        const FEW: usize = 100;
        let name = mode.to_string().replace(' ', "-");
        let mut claims = vec![client.hold(&name, mode).await.0];
        claims.extend((0..waiters).map(|_| client.claim(&name, mode)));
        let mut sent = Vec::new();
        for some in [&claims[1..=FEW], &claims[FEW + 1..=waiters - FEW], &claims[waiters - FEW + 1..]] {
            let meter = Meter::of(server).await;
            request(client, some, |answer| matches!(answer, Requested::Queued(_))).await;
            settle().await;
            sent.push(meter.read().await.sent / u64::try_from(some.len()).unwrap());
        }
        assert!(sent.iter().all(|bytes| *bytes < 1_000), "{sent:?} bytes for each of {mode}");
        let state = client.backend.inspect(&claims[0].name).await.unwrap();
        assert_eq!((state.holders.len(), state.waiters.len()), (1, waiters));
        // Many were asked for at once: the server's order counts.
        claims.sort_by_cached_key(|claim| state.waiters.iter().position(|other| other.claim.id == claim.id));
        Self(claims)
    }

    /// How many bytes the server sends for each of so many grants.
    async fn hand_over(self, server: &Etcd, client: &mut Client, grants: usize) -> u64 {
        let meter = Meter::of(server).await;
        for pair in self.0.windows(2).take(grants) {
            client.release(&pair[0]).await;
            client.granted(&pair[1]).await;
        }
        meter.read().await.sent / u64::try_from(grants).unwrap()
    }
}

/// Requests all the claims, some at a time.
async fn request(client: &Client, claims: &[Claim], expected: impl Fn(&Requested) -> bool) {
    for some in claims.chunks(50) {
        let asked = some.iter().map(|claim| client.backend.request(claim, Queue::Yes));
        for answer in futures::future::join_all(asked).await {
            let answer = answer.unwrap();
            assert!(expected(&answer), "{answer:?}");
        }
    }
}
