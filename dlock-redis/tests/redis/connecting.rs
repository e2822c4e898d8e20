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
async fn a_unix_socket_leads_to_locks() {
    let user = Redis::builder().on_unix_socket().with_user("locks", "pw", ["~*", "&*", "+@all"]);
    for builder in [Redis::builder().on_unix_socket(), user] {
        let Some(world) = World::start_with(builder).await else { return };
        let config = || RedisConfig::from_url(&world.server.url()).unwrap();
        let (one, mut two) = (Client::connect(config()).await.unwrap(), Client::connect(config()).await.unwrap());
        let (held, waiting) = (exclusive("a"), exclusive("a"));
        one.hold(&held).await;
        two.queue(&waiting).await;
        one.release(&held).await;
        two.granted(&waiting).await;
        // Another database has locks of its own.
        let other = Client::connect(config().with_database(3)).await.unwrap();
        assert!(other.inspect("a").await.is_free());
        world.server.kill();
        two.suspect().await;
        let error = refusal(config()).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("redis.sock"), "{error}");
        world.server.restart().await;
        let again = exclusive("b");
        crate::support::eventually("it is reached again", || async {
            two.backend.request(&again, dlock_core::Queue::No).await.is_ok()
        })
        .await;
    }
}
