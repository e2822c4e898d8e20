use dlock_core::ErrorKind;
use dlock_testkit::proxy::Proxy;
use dlock_testkit::servers::Etcd;
use etcd_client::LeaseGrantOptions;

use super::*;
use crate::lease::Lease;

async fn open(address: String) -> Rpc {
    let timeout = Duration::from_secs(5);
    Rpc::open(vec![address], ConnectOptions::new(), "n/".into(), Clock::system(), timeout).await.unwrap()
}

#[tokio::test]
async fn another_cluster_at_the_same_address_is_noticed_and_keeps_no_lease_of_the_former_alive() {
    if Etcd::installed().is_err() {
        return;
    }
    let (former, latter) = (Etcd::start().await, Etcd::start().await);
    let proxy = Proxy::start(former.addr()).unwrap();
    let rpc = open(proxy.addr().to_string()).await;
    let (mut changes, before) = (rpc.cluster_changes(), rpc.cluster());
    let lease = Lease::grant(&rpc, 60, rpc.deadline()).await.unwrap();
    lease.renew(&rpc, rpc.deadline()).await.unwrap();
    // A snapshot would have brought the lease back to life.
    let mut etcd = Client::connect([latter.addr().to_string()], None).await.unwrap();
    etcd.lease_grant(60, Some(LeaseGrantOptions::new().with_id(lease.id))).await.unwrap();
    proxy.retarget(latter.addr());
    proxy.close_connections();
    let error = lease.renew(&rpc, rpc.deadline()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("snapshot"), "{error}");
    assert!(changes.has_changed().unwrap());
    let after = *changes.borrow_and_update();
    assert_ne!(after, before);
    assert_eq!(rpc.cluster(), after);
    rpc.get(rpc.deadline(), b"n/", GetOptions::new()).await.unwrap();
    let (_, dialling) = rpc.dial_present();
    dialling.await.unwrap();
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_connection_that_is_silent_is_not_kept() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let proxy = Proxy::start(server.addr()).unwrap();
    let rpc = open(proxy.addr().to_string()).await;
    let mut moved = rpc.moved();
    let generation = rpc.generation();
    server.stop();
    let until = Deadline::now() + Duration::from_millis(600);
    let error = rpc.get(until, b"n/", GetOptions::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::No), "{error}");
    assert_ne!(rpc.generation(), generation);
    assert_eq!(*moved.borrow_and_update(), rpc.generation());
    let connections = proxy.counts().accepted;
    server.resume();
    rpc.get(rpc.deadline(), b"n/", GetOptions::new()).await.unwrap();
    assert!(proxy.counts().accepted > connections, "it was asked on a connection that may be dead");
}
