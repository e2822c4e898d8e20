//! Clusters of three whose members fail while locks are held, waited for and asked for.

use std::time::{Duration, Instant};

use dlock_core::{Clock, Connect, ConnectContext, ErrorKind, Guard, Locks, Namespace};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::{Etcd, EtcdCluster, EtcdVersion};

use crate::client::{Client, EXCLUSIVE, Outsider, PATIENCE, fresh_namespace, requests, stop, until};

/// Most that an acquire may take while a member is away: what one attempt at it costs and an
/// election, on a busy machine.
const BOUND: Duration = Duration::from_secs(12);

/// A cluster, and two clients of one namespace.
struct World {
    cluster: EtcdCluster,
    namespace: Namespace,
    one: Locks,
    other: Locks,
}

impl World {
    async fn new(version: EtcdVersion, ttl: Duration) -> Self {
        let cluster = EtcdCluster::builder().with_version(version).start().await;
        let namespace = fresh_namespace();
        let connect = async || {
            let config = EtcdConfig::from_url(&cluster.url()).unwrap();
            Locks::builder(config).namespace(namespace.clone()).ttl(ttl).connect().await.unwrap()
        };
        let (one, other) = (connect().await, connect().await);
        Self { cluster, namespace, one, other }
    }

    /// The member that requests go to, when there was one client so far.
    async fn present(&self) -> usize {
        let mut asked = Vec::new();
        for member in 0..self.cluster.count() {
            asked.push(requests(&self.cluster.addr(member).to_string(), "Txn").await);
        }
        let present = asked.iter().position(|count| *count > 0).expect("somebody was asked");
        assert_eq!(asked.iter().filter(|count| **count > 0).count(), 1, "one member is asked: {asked:?}");
        present
    }

    /// Nothing is left of any claim, whatever was sent to a member that was away.
    async fn is_empty(&self) {
        for member in 0..self.cluster.count() {
            let mut outsider = Outsider::new(&self.cluster.addr(member).to_string(), &self.namespace).await;
            until("no claim is left", async || outsider.keys().await.is_empty()).await;
        }
    }
}

async fn acquire(locks: &Locks, name: &str) -> Guard {
    let lock = locks.lock(name).unwrap();
    tokio::time::timeout(PATIENCE, lock.acquire()).await.expect("acquired in time").unwrap()
}

/// Something happens to the leader while a lock is held, another waited for, and a third asked for;
/// all go on, and when the leader is back nothing is left over.
async fn leader_fails(fail: impl AsyncFn(&EtcdCluster, usize), mend: impl AsyncFn(&EtcdCluster, usize)) {
    for version in [EtcdVersion::Installed, EtcdVersion::V3_5] {
        if version.installed().is_ok() {
            leader_of(version, &fail, &mend).await;
        }
    }
}

async fn leader_of(
    version: EtcdVersion,
    fail: &impl AsyncFn(&EtcdCluster, usize),
    mend: &impl AsyncFn(&EtcdCluster, usize),
) {
    let world = World::new(version, Duration::from_secs(20)).await;
    let held = acquire(&world.one, "held").await;
    let first = acquire(&world.one, "passed on").await;
    let token = first.token().unwrap();
    let waiting = world.other.lock("passed on").unwrap();
    let waiting = tokio::spawn(async move { waiting.acquire().await.unwrap() });
    until("somebody waits", async || world.one.inspect("passed on").await.unwrap().waiters.len() == 1).await;

    let leader = world.cluster.wait_for_leader(None).await;
    fail(&world.cluster, leader).await;
    let asked = Instant::now();
    let (of_one, of_other) = tokio::join!(acquire(&world.one, "new"), acquire(&world.other, "newer"));
    assert!(asked.elapsed() < BOUND, "acquiring took {:?}", asked.elapsed());
    first.release().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, waiting).await.expect("the waiter is next").unwrap();
    assert!(next.token().unwrap() > token);
    assert!(held.is_held() && of_one.is_held() && of_other.is_held());

    mend(&world.cluster, leader).await;
    for guard in [held, next, of_one, of_other] {
        assert!(guard.is_held(), "{:?}", guard.name());
        guard.release().await.unwrap();
    }
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_costs_no_lock() {
    let kill = async |cluster: &EtcdCluster, leader| cluster.node(leader).kill();
    leader_fails(kill, async |cluster, leader| cluster.restart(leader).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_costs_no_lock() {
    let halt = async |cluster: &EtcdCluster, leader| stop(cluster.node(leader)).await;
    leader_fails(halt, async |cluster, leader| cluster.node(leader).resume()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_costs_no_lock() {
    let isolate = async |cluster: &EtcdCluster, leader| cluster.isolate(leader);
    leader_fails(isolate, async |cluster, leader| cluster.rejoin(leader)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_member_in_use_stops_and_short_leases_live_on() {
    if EtcdVersion::Installed.installed().is_err() {
        return;
    }
    let world = World::new(EtcdVersion::Installed, Duration::from_secs(6)).await;
    let held = acquire(&world.one, "held").await;
    let present = world.present().await;
    stop(world.cluster.node(present)).await;
    let stopped = Instant::now();
    let new = acquire(&world.one, "new").await;
    assert!(stopped.elapsed() < BOUND, "acquiring took {:?}", stopped.elapsed());
    // Each of them has to be kept alive more than once to get there.
    while stopped.elapsed() < Duration::from_secs(9) {
        assert!(held.is_held() && new.is_held(), "lost {:?} after the member stopped", stopped.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.cluster.node(present).resume();
    held.release().await.unwrap();
    new.release().await.unwrap();
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_stream_leaves_a_stopped_member_with_the_requests() {
    if EtcdVersion::Installed.installed().is_err() {
        return;
    }
    let world = World::new(EtcdVersion::Installed, Duration::from_secs(20)).await;
    let first = acquire(&world.one, "passed on").await;
    let present = world.present().await;
    let waiting = world.one.lock("passed on").unwrap();
    let waiting = tokio::spawn(async move { waiting.acquire().await.unwrap() });
    until("somebody waits", async || world.one.inspect("passed on").await.unwrap().waiters.len() == 1).await;
    stop(world.cluster.node(present)).await;
    let stopped = Instant::now();
    first.release().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, waiting).await.expect("the waiter is next").unwrap();
    assert!(stopped.elapsed() < BOUND, "the hand-over took {:?}", stopped.elapsed());
    world.cluster.node(present).resume();
    next.release().await.unwrap();
    world.is_empty().await;
}

#[tokio::test]
async fn a_member_that_hangs_does_not_keep_others_from_connecting() {
    if EtcdVersion::Installed.installed().is_err() {
        return;
    }
    let cluster = EtcdCluster::start().await;
    stop(cluster.node(0)).await;
    cluster.wait_for_leader(Some(0)).await;
    for _ in 0..4 {
        let began = Instant::now();
        let client = Client::connect(&cluster.url(), &fresh_namespace()).await;
        let (claim, _) = client.hold("a", EXCLUSIVE).await;
        client.release(&claim).await;
        assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn without_a_majority_requests_end_in_time_and_go_on_with_it() {
    if EtcdVersion::Installed.installed().is_err() {
        return;
    }
    let cluster = EtcdCluster::start().await;
    let client = Client::connect(&cluster.url(), &fresh_namespace()).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    cluster.node(1).kill();
    cluster.node(2).kill();
    let began = Instant::now();
    let error = client.backend.renew(&[claim.to_ref()]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(began.elapsed() < Duration::from_secs(12), "it took {:?}", began.elapsed());
    cluster.restart(1).await;
    until("renewal works", async || client.backend.renew(&[claim.to_ref()]).await.remove(0).is_ok()).await;
    client.release(&claim).await;
}

#[tokio::test]
async fn connecting_waits_for_an_election() {
    if EtcdVersion::Installed.installed().is_err() {
        return;
    }
    let cluster = EtcdCluster::start().await;
    let leader = cluster.wait_for_leader(None).await;
    cluster.node(leader).kill();
    let client = Client::connect(&cluster.url(), &fresh_namespace()).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    client.release(&claim).await;
}

#[tokio::test]
async fn endpoints_of_two_clusters_are_refused() {
    if Etcd::installed().is_err() {
        return;
    }
    let (one, other) = (Etcd::start().await, Etcd::start().await);
    let config = EtcdConfig::new([one.addr().to_string(), other.addr().to_string()]);
    let context = ConnectContext { namespace: fresh_namespace(), clock: Clock::system() };
    let error = Box::new(config).connect(context).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("different etcd clusters"), "{error}");
}
