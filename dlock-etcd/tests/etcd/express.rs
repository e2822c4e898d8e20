//! Callers that take and give back names on connections of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dlock_core::{FastPath, Renewal};
use dlock_etcd::EtcdConfig;
use dlock_testkit::proxy::{Direction, Flow, Link, Proxy};
use dlock_testkit::servers::{Etcd, EtcdSnapshot};

use crate::client::{Client, EXCLUSIVE, fresh_namespace, until};

/// A client whose fast path has a connection, which goes over the link. The keeper's does not.
async fn express(proxy: &Proxy, elsewhere: &AtomicBool, link: &Link) -> (Client, Arc<dyn FastPath>) {
    let config = EtcdConfig::from_url(&format!("etcd://{}", proxy.addr())).unwrap();
    let client = Client::with(config.with_request_timeout(Duration::from_secs(60)), &fresh_namespace()).await;
    let path = client.backend.fast_path().unwrap();
    elsewhere.store(true, Ordering::SeqCst);
    until("there is a connection", async || {
        let (claim, _) = client.hold("a", EXCLUSIVE).await;
        client.release(&claim).await;
        let claim = client.claim("a", EXCLUSIVE);
        match path.take(&claim) {
            Some(taking) => {
                taking.await.unwrap().expect("it is free");
                path.give_back(&claim.to_ref()).unwrap().await.unwrap().expect("the connection is still there");
                true
            }
            None => false,
        }
    })
    .await;
    elsewhere.store(false, Ordering::SeqCst);
    assert_eq!(link.counts().accepted, 1);
    (client, path)
}

#[tokio::test]
async fn a_late_answer_of_a_cluster_that_was_restored_since_grants_nothing() {
    let (Ok(()), Ok(())) = (Etcd::installed(), EtcdSnapshot::available()) else { return };
    let server = Etcd::start().await;
    let (link, elsewhere) = (Link::new(), Arc::new(AtomicBool::new(false)));
    let (own, asked) = (link.clone(), elsewhere.clone());
    let proxy = Proxy::builder(server.addr())
        .with_filter(move |_| asked.load(Ordering::SeqCst).then(|| own.clone()))
        .start()
        .unwrap();
    let (client, path) = express(&proxy, &elsewhere, &link).await;
    let (held, _) = client.hold("held", EXCLUSIVE).await;
    let snapshot = EtcdSnapshot::take(server.operator().await).await.unwrap();

    let claim = client.claim("a", EXCLUSIVE);
    let taking = path.take(&claim).unwrap();
    link.set(Direction::ToClient, Flow::Hold);
    let before = link.counts().to_client.waiting;
    let taking = tokio::spawn(taking);
    until("the answer waits", async || link.counts().to_client.waiting > before).await;
    server.restore(snapshot).await;
    until("the client knows", async || {
        let renewed = client.backend.renew(&[held.to_ref()]).await.remove(0);
        matches!(renewed, Ok(Renewal::Gone(_)))
    })
    .await;
    link.heal();
    let answer = taking.await.unwrap();
    assert!(!matches!(answer, Ok(Some(_))), "what is not there any more was granted: {answer:?}");
}
