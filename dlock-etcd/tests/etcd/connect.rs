//! Peers that are not there, or something else.

use std::time::Duration;

use dlock_core::{Clock, Connect, ConnectContext, Error, ErrorKind, Namespace};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::Etcd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) async fn refused(config: EtcdConfig) -> Error {
    let context = ConnectContext { namespace: Namespace::default(), clock: Clock::system() };
    let config = Box::new(config.with_request_timeout(Duration::from_secs(3)));
    config.connect(context).await.expect_err("there is no etcd")
}

/// A peer that answers everything with `answer`.
async fn peer(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 1024];
                while let Ok(1..) = stream.read(&mut heard).await {
                    if stream.write_all(answer).await.is_err() || !answer.is_empty() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn nobody_there() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refused(EtcdConfig::new([dead.to_string()])).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&dead.to_string()), "{error}");
}

#[tokio::test]
async fn nobody_answers() {
    let error = refused(EtcdConfig::new([peer(b"").await])).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn somebody_else() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"-ERR unknown command 'PRI'\r\n-ERR unknown command 'SM'\r\n",
    ] {
        let error = refused(EtcdConfig::new([peer(answer).await])).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    }
}

#[tokio::test]
async fn a_login_that_the_server_does_not_know() {
    if Etcd::installed().is_err() {
        return;
    }
    let server = Etcd::start().await;
    let config = EtcdConfig::new([server.addr().to_string()]);
    let error = refused(config.clone().with_login("me", "hunter2")).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");

    let mut root = etcd_client::Client::connect([server.addr().to_string()], None).await.unwrap();
    root.user_add("root", "pw", None).await.unwrap();
    root.role_add("root").await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.user_add("me", "hunter2", None).await.unwrap();
    root.auth_enable().await.unwrap();
    for (config, why) in [
        (config.clone(), "login"),
        (config.clone().with_login("me", "wrong"), "login"),
        (config.clone().with_login("me", "hunter2"), "permission"),
    ] {
        let error = refused(config).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let context = ConnectContext { namespace: Namespace::default(), clock: Clock::system() };
    Box::new(config.with_login("root", "pw")).connect(context).await.unwrap();
}

#[tokio::test]
async fn configurations_that_can_never_work() {
    for config in [EtcdConfig::new(Vec::<String>::new()), EtcdConfig::new(["http://h"]), EtcdConfig::new(["h:x"])] {
        assert_eq!(refused(config).await.kind(), ErrorKind::InvalidInput);
    }
}
