//! Consul servers and clusters of the test's own.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use dlock_testkit::servers::{self, Consul, ConsulCluster};

use crate::BOUND;
use crate::talk::{connect, exchange};

#[tokio::test]
async fn consul_keeps_its_data_over_a_kill() {
    let Ok(()) = Consul::installed() else { return };
    let server = Consul::start().await;
    let addr = server.addr();
    assert_eq!((server.url(), server.endpoint()), (format!("consul://{addr}"), format!("http://{addr}")));
    assert_eq!(put(addr, "key", "value"), Ok(()));
    server.restart().await;
    assert_eq!(server.addr(), addr);
    assert_eq!(holds(addr, "key", "value"), Ok(()));
    server.kill();
    assert!(connect(addr).is_err(), "a killed server accepts nobody");
}

#[tokio::test]
async fn consul_makes_sessions_as_soon_as_it_serves() {
    let Ok(()) = Consul::installed() else { return };
    let server = Consul::builder().with_args(["-hcl", "session_ttl_min = \"1s\""]).start().await;
    let session = request(server.addr(), "PUT", "/v1/session/create", r#"{"TTL":"2s","Checks":[]}"#);
    let session = session.expect("consul answers");
    assert!(session.contains(r#""ID":"#), "{session}");
}

#[tokio::test]
async fn the_shared_consul_is_started_once() {
    let Ok(server) = servers::consul().await else { return };
    assert_eq!(servers::consul().await.expect("it is there").url(), server.url());
}

#[tokio::test]
async fn a_consul_cluster_serves_without_any_one_member() {
    let Ok(()) = Consul::installed() else { return };
    let cluster = ConsulCluster::start().await;
    assert_eq!(cluster.endpoints().len(), 3);
    let leader = cluster.wait_for_leader(None).await;
    let (follower, third) = others(leader);

    cluster.node(follower).kill();
    eventually(|| put(cluster.addr(third), "one", "1"));
    cluster.restart(follower).await;

    cluster.node(leader).kill();
    let next = cluster.wait_for_leader(Some(leader)).await;
    eventually(|| put(cluster.addr(next), "two", "2"));
    cluster.restart(leader).await;

    cluster.restart_all().await;
    for member in 0..cluster.count() {
        eventually(|| holds(cluster.addr(member), "one", "1"));
        eventually(|| holds(cluster.addr(member), "two", "2"));
    }
}

#[tokio::test]
async fn a_consul_cluster_goes_on_while_its_leader_stands_still() {
    let Ok(()) = Consul::installed() else { return };
    let cluster = ConsulCluster::start().await;
    let leader = cluster.wait_for_leader(None).await;
    cluster.node(leader).stop();
    let next = cluster.wait_for_leader(Some(leader)).await;
    eventually(|| put(cluster.addr(next), "key", "value"));
    cluster.node(leader).resume();
    eventually(|| holds(cluster.addr(leader), "key", "value"));
}

#[tokio::test]
async fn an_isolated_consul_leader_serves_nobody_until_it_rejoins() {
    let Ok(()) = Consul::installed() else { return };
    let cluster = ConsulCluster::start().await;
    let leader = cluster.wait_for_leader(None).await;
    let (follower, third) = others(leader);
    cluster.isolate(leader);
    let next = cluster.wait_for_leader(Some(leader)).await;
    assert_ne!(next, leader);
    for member in [follower, third] {
        eventually(|| put(cluster.addr(member), "key", "value"));
    }
    let (written, read) = (put(cluster.addr(leader), "key", "other"), holds(cluster.addr(leader), "key", "value"));
    assert!(written.is_err() && read.is_err(), "an isolated member answered {written:?} and {read:?}");

    cluster.rejoin(leader);
    eventually(|| holds(cluster.addr(leader), "key", "value"));
}

fn others(member: usize) -> (usize, usize) {
    ((member + 1) % 3, (member + 2) % 3)
}

fn eventually(done: impl Fn() -> Result<(), String>) {
    let deadline = Instant::now() + BOUND;
    while let Err(error) = done() {
        assert!(Instant::now() < deadline, "{error}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn put(addr: SocketAddr, key: &str, value: &str) -> Result<(), String> {
    let answer = request(addr, "PUT", &format!("/v1/kv/{key}"), value)?;
    if answer.ends_with("true\n") || answer.ends_with("true") { Ok(()) } else { Err(answer) }
}

/// Asks the leader, not only this member.
fn holds(addr: SocketAddr, key: &str, value: &str) -> Result<(), String> {
    let answer = request(addr, "GET", &format!("/v1/kv/{key}?raw&consistent"), "")?;
    let is_found = answer.split_once("\r\n\r\n").is_some_and(|(_, body)| body == value);
    if is_found { Ok(()) } else { Err(answer) }
}

fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> Result<String, String> {
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = exchange(addr, &request).map_err(|error| format!("consul does not answer: {error}"))?;
    if answer.starts_with("HTTP/1.0 200") { Ok(answer) } else { Err(answer) }
}
