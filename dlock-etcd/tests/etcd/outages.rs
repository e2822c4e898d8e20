//! Servers that stop, restart and forget.

use std::time::{Duration, Instant};

use dlock_core::{ErrorKind, Gone, Landed, Queue, Renewal, Requested, Why};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::Etcd;

use crate::client::{Client, EXCLUSIVE, Outsider, fresh_namespace, permit, requests, stop, until};

#[tokio::test]
async fn a_stopped_server_is_noticed_and_waiters_go_on_when_it_resumes() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let config = EtcdConfig::from_url(&server.url()).unwrap().with_request_timeout(Duration::from_millis(500));
    let mut client = Client::with(config, &fresh_namespace()).await;
    let (holder, _) = client.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    let authority = server.addr().to_string();
    until("the watch stream is open", async || requests(&authority, "Watch").await == 1).await;
    stop(&server).await;
    let asked = Instant::now();
    let claim = client.claim("b", EXCLUSIVE);
    let error = client.backend.request(&claim, Queue::Yes).await.unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::Maybe));
    assert!(client.backend.renew(&[holder.to_ref()]).await.remove(0).is_err());
    assert!(asked.elapsed() < Duration::from_secs(5), "requests are bounded");
    client.suspect().await;
    server.resume();
    until("the server answers", async || client.backend.renew(&[holder.to_ref()]).await.remove(0).is_ok()).await;
    // What was sent to the stopped server arrives now, and must not stay.
    until("the doubtful claim is withdrawn", async || {
        client.backend.withdraw(&claim.to_ref(), Why::Cancel).await.is_ok()
    })
    .await;
    until("the holder releases", async || client.backend.withdraw(&holder.to_ref(), Why::Release).await.is_ok()).await;
    client.granted(&waiter).await;
    client.release(&waiter).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    assert_eq!(outsider.keys().await, []);
}

#[tokio::test]
async fn a_restarted_server_keeps_claims_waiters_and_growing_tokens() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let (holder, grant) = client.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    let permits = [client.hold("p", permit(2)).await.0, client.hold("p", permit(2)).await.0];
    let in_line = client.queue("p", permit(2)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart().await;
    client.suspect().await;
    until("renewal works", async || client.backend.renew(&[holder.to_ref()]).await.remove(0).is_ok()).await;
    assert!(matches!(client.renew(&holder).await, Renewal::Alive { grant: Some(same), .. } if same == grant));
    client.release(&holder).await;
    assert!(client.granted(&waiter).await.token > grant.token);
    client.release(&permits[0]).await;
    client.granted(&in_line).await;
}

#[tokio::test]
async fn a_loss_while_the_stream_was_down_is_found() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    let (key, _) = outsider.key_of(&claim).await;
    server.restart().await;
    until("the key is deleted", async || outsider.etcd.delete(key.clone(), None).await.is_ok()).await;
    client.gone(&claim).await;
}

#[tokio::test]
async fn compaction_disturbs_nobody() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    let (holder, _) = client.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    let permits = [client.hold("p", permit(1)).await.0, client.queue("p", permit(1)).await];
    // At once, before the watches on the own keys begin, which start in the past.
    let (altered, _) = client.hold("z", EXCLUSIVE).await;
    let (key, _) = outsider.key_of(&altered).await;
    outsider.etcd.put(key, "garbage", None).await.unwrap();
    let put = outsider.etcd.put("elsewhere", "x", None).await.unwrap();
    outsider.etcd.compact(put.header().unwrap().revision(), None).await.unwrap();
    let put = outsider.etcd.put("elsewhere", "y", None).await.unwrap();
    outsider.etcd.compact(put.header().unwrap().revision(), None).await.unwrap();
    assert_eq!(client.gone(&altered).await, Gone::Altered);
    client.release(&holder).await;
    client.granted(&waiter).await;
    client.release(&permits[0]).await;
    client.granted(&permits[1]).await;
    let (key, _) = outsider.key_of(&waiter).await;
    outsider.etcd.delete(key, None).await.unwrap();
    client.gone(&waiter).await;
}

#[tokio::test]
async fn an_idle_stream_stays_up() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let mut client = Client::connect(&server.url(), &fresh_namespace()).await;
    let (claim, _) = client.hold("a", EXCLUSIVE).await;
    let waiter = client.queue("a", EXCLUSIVE).await;
    let suspicion = tokio::time::timeout(Duration::from_secs(20), client.suspect()).await;
    assert!(suspicion.is_err(), "the server ended the connection of a client that only waits");
    client.release(&claim).await;
    client.granted(&waiter).await;
}

#[tokio::test]
async fn a_full_server_refuses_clearly_and_still_releases() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::builder().with_args(["--quota-backend-bytes", "1048576"]).start().await;
    let client = Client::connect(&server.url(), &fresh_namespace()).await;
    let (holder, _) = client.hold("a", EXCLUSIVE).await;
    let mut outsider = Outsider::new(&server.addr().to_string(), &client.namespace).await;
    for part in 0..64 {
        if outsider.etcd.put(format!("filler/{part}"), vec![b'x'; 200_000], None).await.is_err() {
            break;
        }
    }
    let error = client.backend.request(&client.claim("b", EXCLUSIVE), Queue::Yes).await.unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Exhausted, Landed::Maybe), "{error}");
    client.release(&holder).await;
}

#[tokio::test]
async fn one_dead_endpoint_of_two_is_no_obstacle() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = EtcdConfig::new([dead.to_string(), server.addr().to_string()]);
    let client = Client::with(config, &fresh_namespace()).await;
    for _ in 0..50 {
        let claim = client.claim("a", EXCLUSIVE);
        assert!(matches!(client.backend.request(&claim, Queue::No).await, Ok(Requested::Held(..))));
        client.release(&claim).await;
    }
}
