//! etcd servers of the test's own, alone and in clusters.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use dlock_testkit::servers::{Etcd, EtcdCluster, EtcdVersion};

use crate::BOUND;
use crate::talk::{connect, http, try_http};

#[tokio::test]
async fn etcd_keeps_its_data_over_a_kill() {
    let Ok(()) = Etcd::installed() else { return };
    let etcd = Etcd::start().await;
    let addr = etcd.addr();
    let put = http(addr, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#);
    assert!(put.contains(r#""revision":"2""#), "{put}");
    etcd.restart().await;
    assert_eq!(value(addr), Some(true));
    etcd.kill();
    assert!(connect(addr).is_err(), "a killed server accepts nobody");
}

#[tokio::test]
async fn another_version_of_etcd_is_started_on_demand() {
    let Ok(()) = EtcdVersion::V3_5.installed() else { return };
    let etcd = Etcd::builder().with_version(EtcdVersion::V3_5).start().await;
    let status = http(etcd.addr(), "/v3/maintenance/status", "{}");
    assert!(status.contains(r#""version":"3.5."#), "{status}");
    etcd.restart().await;
}

#[tokio::test]
async fn a_cluster_serves_without_any_one_member() {
    let Ok(()) = EtcdVersion::Installed.installed() else { return };
    let etcd = EtcdCluster::start().await;
    assert_eq!(etcd.url().matches("127.0.0.1:").count(), 3);
    let leader = etcd.wait_for_leader(None).await;
    let follower = (leader + 1) % 3;
    assert!(put(etcd.addr(follower), BOUND), "a follower passes writes on");

    etcd.node(leader).kill();
    assert!(connect(etcd.addr(leader)).is_err());
    let next = etcd.wait_for_leader(Some(leader)).await;
    assert!(put(etcd.addr(next), BOUND));
    etcd.restart(leader).await;
    assert_eq!(value(etcd.addr(leader)), Some(true), "it knows what was written without it");

    etcd.node(next).stop();
    let third = etcd.wait_for_leader(Some(next)).await;
    assert!(put(etcd.addr(third), BOUND));
    etcd.node(next).resume();
    assert!(put(etcd.addr(next), BOUND));
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_its_peers_is_replaced_and_joins_again() {
    let Ok(()) = EtcdVersion::V3_5.installed() else { return };
    let etcd = EtcdCluster::builder().with_version(EtcdVersion::V3_5).start().await;
    let leader = etcd.wait_for_leader(None).await;
    etcd.isolate(leader);
    let next = etcd.wait_for_leader(Some(leader)).await;
    assert!(put(etcd.addr(next), BOUND), "two of three go on");
    // Its port for clients is open still, but it can promise nothing.
    assert!(!put(etcd.addr(leader), Duration::from_secs(1)), "a member alone decides nothing");
    let stale = http(etcd.addr(leader), "/v3/kv/range", r#"{"key":"a2V5","serializable":true}"#);
    assert!(stale.contains("cluster_id") && !stale.contains("dmFsdWU="), "{stale}");
    etcd.rejoin(leader);
    assert!(put(etcd.addr(leader), BOUND));

    etcd.restart_all().await;
    for member in 0..etcd.count() {
        assert_eq!(value(etcd.addr(member)), Some(true), "all know it still");
    }
}

/// Whether a write is confirmed within the bound.
fn put(addr: SocketAddr, bound: Duration) -> bool {
    let deadline = Instant::now() + bound;
    loop {
        let answer = try_http(addr, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#, bound);
        if answer.is_ok_and(|answer| answer.contains(r#""revision":"#)) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether what was written is read; `None` when there is no answer.
fn value(addr: SocketAddr) -> Option<bool> {
    let answer = try_http(addr, "/v3/kv/range", r#"{"key":"a2V5"}"#, BOUND).ok()?;
    Some(answer.contains("dmFsdWU="))
}
