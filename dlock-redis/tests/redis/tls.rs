//! Servers that speak TLS, and that do not.

use dlock_core::ErrorKind;
use dlock_redis::RedisConfig;
use dlock_testkit::servers::Redis;

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_feature_it_is_named() {
    let config = RedisConfig::from_url("rediss://127.0.0.1:1").unwrap();
    let error = crate::support::Client::connect(config).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("enable the cargo feature `tls`"), "{error}");
}

#[tokio::test]
async fn a_server_behind_tls_is_not_taken_for_one_without() {
    let Some(world) = crate::support::World::start_with(Redis::builder().with_tls()).await else { return };
    let config = RedisConfig::new(&world.server.addr().to_string()).unwrap();
    let error = crate::support::Client::connect(config).await.err().expect("it is refused");
    assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Unavailable), "{error}");
    assert!(error.to_string().contains("rediss://"), "{error}");
}

#[cfg(feature = "tls")]
mod with_the_feature {
    use std::path::{Path, PathBuf};

    use dlock_core::Error;
    use dlock_testkit::servers::RedisBuilder;

    use super::*;
    use crate::support::{Client, exclusive};

    async fn refusal(url: &str) -> Error {
        Client::connect(RedisConfig::from_url(url).unwrap()).await.err().expect("it is refused")
    }

    async fn start(builder: RedisBuilder) -> Option<Redis> {
        Redis::installed().ok()?;
        Some(builder.start().await)
    }

    /// The files of a server's own authority.
    fn file(server: &Redis, name: &str) -> PathBuf {
        let options = server.url().split_once('?').unwrap().1.to_owned();
        let authority = options.split('&').find_map(|option| option.strip_prefix("ca-file=")).unwrap().to_owned();
        Path::new(&authority).parent().unwrap().join(name)
    }

    async fn cycle(url: &str) {
        let (one, mut two) = (
            Client::connect(RedisConfig::from_url(url).unwrap()).await.unwrap(),
            Client::connect(RedisConfig::from_url(url).unwrap()).await.unwrap(),
        );
        let (held, waiting) = (exclusive("a"), exclusive("a"));
        one.hold(&held).await;
        two.queue(&waiting).await;
        one.release(&held).await;
        two.granted(&waiting).await;
        two.release(&waiting).await;
        assert!(one.inspect("a").await.is_free());
    }

    #[tokio::test]
    async fn locks_are_had_over_tls() {
        let Some(server) = start(Redis::builder().with_tls()).await else { return };
        cycle(&server.url()).await;
        cycle(&server.url().replace("127.0.0.1", "localhost").replace("rediss", "valkeys")).await;
    }

    #[tokio::test]
    async fn a_client_shows_its_certificate_where_it_must() {
        let Some(server) = start(Redis::builder().with_tls_both_ways()).await else { return };
        cycle(&server.url()).await;
        let authority = file(&server, "ca.pem");
        let without = format!("rediss://{}?ca-file={}", server.addr(), authority.display());
        let error = refusal(&without).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("cert-file and key-file"), "{error}");
        // One that another authority has signed.
        let Some(other) = start(Redis::builder().with_tls_both_ways()).await else { return };
        let (cert, key) = (file(&other, "client.pem"), file(&other, "client-key.pem"));
        let error = refusal(&format!("{without}&cert-file={}&key-file={}", cert.display(), key.display())).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("does not accept this client's certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_trusted_is_refused() {
        let Some(server) = start(Redis::builder().with_tls()).await else { return };
        let error = refusal(&format!("rediss://{}", server.addr())).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("not trusted: give its ca-file"), "{error}");
        let Some(other) = start(Redis::builder().with_tls()).await else { return };
        let authority = file(&other, "ca.pem");
        let error = refusal(&format!("rediss://{}?ca-file={}", server.addr(), authority.display())).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("not trusted"), "{error}");
        // It answers at every address of the loopback interface, and its certificate names but one.
        let url = server.url().replace("127.0.0.1", "[::ffff:127.0.0.1]");
        let error = refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("for another host"), "{error}");
    }

    #[tokio::test]
    async fn a_plain_server_says_that_it_is_one() {
        let Some(server) = start(Redis::builder()).await else { return };
        let error = refusal(&server.url().replace("redis://", "rediss://")).await;
        assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Unavailable), "{error}");
        assert!(error.to_string().contains("use redis://"), "{error}");
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let Some(server) = start(Redis::builder().with_tls_both_ways()).await else { return };
        let (authority, key) = (file(&server, "ca.pem"), file(&server, "client-key.pem"));
        let (authority, key) = (authority.display(), key.display());
        let addr = server.addr();
        for (options, why) in [
            ("ca-file=/nowhere/ca.pem".to_owned(), "cannot read /nowhere/ca.pem"),
            (format!("ca-file={key}"), "holds no certificate"),
            (format!("cert-file={authority}&key-file={authority}"), "holds no private key"),
            // A key that is not the certificate's.
            (format!("ca-file={authority}&cert-file={authority}&key-file={key}"), "KeyMismatch"),
        ] {
            let error = refusal(&format!("rediss://{addr}?{options}")).await;
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(why), "{options}: {error}");
        }
    }
}
