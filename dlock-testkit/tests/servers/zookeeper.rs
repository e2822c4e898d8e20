//! ZooKeeper servers and ensembles of the test's own.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use dlock_testkit::servers::{self, ZooKeeper, ZooKeeperCluster};

use crate::BOUND;
use crate::talk::connect;

#[tokio::test]
async fn zookeeper_keeps_its_data_over_a_kill() {
    let Ok(()) = ZooKeeper::installed() else { return };
    let server = ZooKeeper::start().await;
    let addr = server.addr();
    assert_eq!(server.url(), format!("zookeeper://{addr}"));
    succeed(addr, &["create", "/key", "value"]);
    server.restart().await;
    assert_eq!(server.addr(), addr);
    assert!(succeed(addr, &["get", "/key"]).contains("value"));
    server.kill();
    assert!(connect(addr).is_err(), "a killed server accepts nobody");
}

#[tokio::test]
async fn zookeeper_has_container_nodes_and_nodes_with_a_time_to_live() {
    let Ok(()) = ZooKeeper::installed() else { return };
    let server = ZooKeeper::builder().with_tick(Duration::from_millis(300)).start().await;
    succeed(server.addr(), &["create", "-c", "/container"]);
    succeed(server.addr(), &["create", "-t", "60000", "/short-lived"]);
}

#[tokio::test]
async fn the_shared_zookeeper_is_started_once() {
    let Ok(server) = servers::zookeeper().await else { return };
    assert_eq!(servers::zookeeper().await.expect("it is there").url(), server.url());
}

#[tokio::test]
async fn an_ensemble_serves_without_any_one_member() {
    let Ok(()) = ZooKeeper::installed() else { return };
    let ensemble = ZooKeeperCluster::start().await;
    let leader = ensemble.wait_for_leader(None).await;
    let follower = (leader + 1) % ensemble.count();
    let third = (leader + 2) % ensemble.count();

    succeed(ensemble.addr(leader), &["create", "/one", "value"]);
    ensemble.node(follower).kill();
    eventually(ensemble.addr(third), &["create", "/two", "value"]);
    ensemble.restart(follower).await;

    ensemble.node(leader).kill();
    let next = ensemble.wait_for_leader(Some(leader)).await;
    assert_ne!(next, leader);
    eventually(ensemble.addr(follower), &["create", "/three", "value"]);
    ensemble.restart(leader).await;
    succeed(ensemble.addr(leader), &["sync", "/"]);
    assert!(succeed(ensemble.addr(leader), &["ls", "/"]).contains("[one, three, two, zookeeper]"));

    ensemble.restart_all().await;
    assert!(succeed(ensemble.addr(third), &["ls", "/"]).contains("[one, three, two, zookeeper]"));
}

#[tokio::test]
async fn an_ensemble_goes_on_while_its_leader_stands_still() {
    let Ok(()) = ZooKeeper::installed() else { return };
    let ensemble = ZooKeeperCluster::start().await;
    let leader = ensemble.wait_for_leader(None).await;
    ensemble.node(leader).stop();
    let next = ensemble.wait_for_leader(Some(leader)).await;
    eventually(ensemble.addr(next), &["create", "/key", "value"]);
    ensemble.node(leader).resume();
    eventually(ensemble.addr(leader), &["get", "/key"]);
}

#[tokio::test]
async fn an_isolated_member_serves_nobody_until_it_rejoins() {
    let Ok(()) = ZooKeeper::installed() else { return };
    let ensemble = ZooKeeperCluster::start().await;
    // Whoever leads, and the rest both ways: the member with the highest number wins elections
    // and dials the others by itself.
    for _ in 0..2 {
        let leader = ensemble.wait_for_leader(None).await;
        ensemble.isolate(leader);
        let next = ensemble.wait_for_leader(Some(leader)).await;
        eventually(ensemble.addr(next), &["create", &format!("/from-{leader}"), "value"]);
        assert_stops_serving(ensemble.addr(leader));

        ensemble.rejoin(leader);
        eventually(ensemble.addr(leader), &["get", &format!("/from-{leader}")]);
    }
}

#[tokio::test]
async fn a_follower_cut_off_from_its_leader_alone_serves_nobody_until_that_is_mended() {
    let Ok(()) = ZooKeeper::installed() else { return };
    let ensemble = ZooKeeperCluster::start().await;
    let leader = ensemble.wait_for_leader(None).await;
    let follower = (leader + 1) % ensemble.count();
    ensemble.cut(follower, leader);
    assert_stops_serving(ensemble.addr(follower));
    // It still has the third.
    eventually(ensemble.addr(leader), &["create", "/key", "value"]);
    ensemble.mend(leader, follower);
    eventually(ensemble.addr(follower), &["get", "/key"]);
}

/// Waits until it says so.
#[track_caller]
fn assert_stops_serving(addr: SocketAddr) {
    let deadline = Instant::now() + BOUND;
    loop {
        let answer = crate::talk::exchange(addr, "srvr").unwrap_or_default();
        if answer.contains("not currently serving") {
            return;
        }
        assert!(Instant::now() < deadline, "it says {answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Repeats a command of ZooKeeper's own client until it succeeds, or until it was done before.
fn eventually(addr: SocketAddr, command: &[&str]) {
    let deadline = Instant::now() + BOUND;
    loop {
        let (succeeded, output) = client(addr, command);
        if succeeded || output.contains("Node already exists") {
            return;
        }
        assert!(Instant::now() < deadline, "{command:?} at {addr}: {output}");
    }
}

fn succeed(addr: SocketAddr, command: &[&str]) -> String {
    let (succeeded, output) = client(addr, command);
    assert!(succeeded, "{command:?} at {addr}: {output}");
    output
}

/// One command of ZooKeeper's own client.
fn client(addr: SocketAddr, command: &[&str]) -> (bool, String) {
    let output = Command::new("timeout")
        .args(["10", "java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(["-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.ZooKeeperMain"])
        .args(["-server", &addr.to_string()])
        .args(command)
        .output()
        .expect("java starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
