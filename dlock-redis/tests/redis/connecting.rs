//! Peers that are not there, refuse, or are something else.

use std::time::{Duration, Instant};

use dlock_core::{Error, ErrorKind, Landed};
use dlock_redis::RedisConfig;
use dlock_testkit::servers::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Client, World, exclusive};

async fn refusal(config: RedisConfig) -> Error {
    match Client::connect(config).await {
        Ok(_) => panic!("it connected"),
        Err(error) => {
            assert_eq!(error.landed(), Landed::No);
            error
        }
    }
}

fn config(address: &str) -> RedisConfig {
    RedisConfig::new(address).unwrap().with_request_timeout(Duration::from_secs(2))
}

/// A server that answers every connection with `answer`, or not at all.
async fn impostor(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut peer, _)) = listener.accept().await {
            if let Some(answer) = answer {
                let mut request = [0; 64];
                let _ = peer.read(&mut request).await;
                let _ = peer.write_all(answer.as_bytes()).await;
            }
            silent.push(peer);
        }
    });
    address
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = refusal(config(&address)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("cannot connect to redis at {address}")), "{error}");
}

#[tokio::test]
async fn a_peer_that_says_nothing() {
    let address = impostor(None).await;
    let start = Instant::now();
    let error = refusal(config(&address).with_request_timeout(Duration::from_millis(300))).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_peer_that_speaks_something_else() {
    for answer in ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "220 mail.example ESMTP\r\n"] {
        let address = impostor(Some(answer)).await;
        let error = refusal(config(&address)).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("check host and port"), "{error}");
    }
}

#[tokio::test]
async fn a_login_that_is_refused() {
    let Some(world) = World::start_with(Redis::builder().with_password("right")).await else { return };
    let address = world.server.addr().to_string();
    for config in [config(&address), config(&address).with_login("", "wrong"), config(&address).with_login("me", "x")] {
        let error = refusal(config).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("refuses the login"), "{error}");
    }
    let client = world.client().await;
    client.hold(&exclusive("a")).await;
}

#[tokio::test]
async fn a_user_with_the_least_rights_can_lock_and_one_without_is_told() {
    let Some(world) = World::start().await else { return };
    let rights = ["resetkeys", "~dlock:*", "resetchannels", "&dlock:inbox:*", "+@all", "-@admin", "-@dangerous"];
    world.run::<()>(&[&["ACL", "SETUSER", "locks", "on", ">pw"][..], &rights].concat()).await;
    world
        .run::<()>(&[&["ACL", "SETUSER", "other", "on", ">pw"][..], &rights[1..], &["resetkeys", "~x:*"]].concat())
        .await;
    let address = world.server.addr().to_string();
    let client = Client::connect(config(&address).with_login("locks", "pw")).await.unwrap();
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    client.hold(&held).await;
    client.queue(&waiting).await;
    client.release(&held).await;
    let error = refusal(config(&address).with_login("other", "pw")).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let Some(world) = World::start_with(Redis::builder().with_args(["--replicaof", "127.0.0.1 1"])).await else {
        return;
    };
    let error = refusal(world.config()).await;
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.to_string().contains("read-only replica"), "{error}");
}
