//! Servers that speak TLS, and that do not.

use std::path::{Path, PathBuf};

use dlock_core::{Error, ErrorKind, Namespace};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::{Etcd, EtcdBuilder};

use crate::client::{Client, EXCLUSIVE, fresh_namespace};
use crate::connect::refused;

async fn start(builder: EtcdBuilder) -> Option<Etcd> {
    Etcd::installed().ok()?;
    Some(builder.start().await)
}

async fn refusal(url: &str) -> Error {
    refused(EtcdConfig::from_url(url).unwrap()).await
}

/// The files of a server's own authority.
fn file(server: &Etcd, name: &str) -> PathBuf {
    let options = server.url().split_once('?').unwrap().1.to_owned();
    let authority = options.split('&').find_map(|option| option.strip_prefix("ca-file=")).unwrap().to_owned();
    Path::new(&authority).parent().unwrap().join(name)
}

async fn cycle(url: &str, namespace: &Namespace) {
    let (one, mut two) = (Client::connect(url, namespace).await, Client::connect(url, namespace).await);
    let (held, _) = one.hold("a", EXCLUSIVE).await;
    let waiting = two.queue("a", EXCLUSIVE).await;
    one.release(&held).await;
    two.granted(&waiting).await;
    two.release(&waiting).await;
}

#[tokio::test]
async fn locks_are_had_over_tls() {
    let Some(server) = start(Etcd::builder().with_tls()).await else { return };
    cycle(&server.url(), &fresh_namespace()).await;
    cycle(&server.url().replace("127.0.0.1", "localhost"), &fresh_namespace()).await;
}

#[tokio::test]
async fn a_certificate_may_be_the_login() {
    let namespace = fresh_namespace();
    let builder = Etcd::builder().with_tls_both_ways("locks").with_login("locks", "pw", &format!("{namespace}/"));
    let Some(server) = start(builder).await else { return };
    cycle(&server.url_without_login(), &namespace).await;
    cycle(&server.url(), &namespace).await;
    // The user has no more rights than these.
    let error = refusal(&server.url_without_login()).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("permission"), "{error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_must() {
    let Some(server) = start(Etcd::builder().with_tls_both_ways("locks")).await else { return };
    let Some(other) = start(Etcd::builder().with_tls_both_ways("locks")).await else { return };
    cycle(&server.url(), &fresh_namespace()).await;
    let without = format!("etcds://{}?ca-file={}", server.addr(), file(&server, "ca.pem").display());
    let (cert, key) = (file(&other, "client.pem"), file(&other, "client-key.pem"));
    let of_another_authority = format!("{without}&cert-file={}&key-file={}", cert.display(), key.display());
    for url in [without, of_another_authority] {
        let error = refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{url}: {error:?}");
        assert!(error.to_string().contains("give cert-file and key-file"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused() {
    let Some(server) = start(Etcd::builder().with_tls()).await else { return };
    let Some(other) = start(Etcd::builder().with_tls()).await else { return };
    let others = format!("etcds://{}?ca-file={}", server.addr(), file(&other, "ca.pem").display());
    // It answers at every address of the loopback interface, and its certificate names but one.
    let elsewhere = server.url().replace("127.0.0.1", "[::ffff:127.0.0.1]");
    for (url, why) in [
        (format!("etcds://{}", server.addr()), "not trusted: give its ca-file"),
        (others, "not trusted"),
        (elsewhere, "for another host"),
    ] {
        let error = refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{url}: {error:?}");
        assert!(error.to_string().contains(why), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_server_says_whether_it_speaks_tls() {
    let Some(plain) = start(Etcd::builder()).await else { return };
    let Some(encrypted) = start(Etcd::builder().with_tls()).await else { return };
    for (url, why) in [
        (format!("etcds://{}", plain.addr()), "does not speak tls: use etcd://"),
        (format!("etcd://{}", encrypted.addr()), "speaks tls: use etcds://"),
    ] {
        let error = refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{url}: {error:?}");
        assert!(error.to_string().contains(why), "{url}: {error}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let Some(server) = start(Etcd::builder().with_tls_both_ways("locks")).await else { return };
    let [ca, cert, key, other_key] =
        ["ca.pem", "client.pem", "client-key.pem", "server-key.pem"].map(|name| file(&server, name));
    let (ca, cert, key, other_key) = (ca.display(), cert.display(), key.display(), other_key.display());
    // Nobody listens there: files are judged before anything is sent.
    let nobody = "127.0.0.1:1";
    for (options, why) in [
        ("ca-file=/nowhere/ca.pem".to_owned(), "cannot read /nowhere/ca.pem"),
        (format!("ca-file={key}"), "client-key.pem holds no certificate"),
        (format!("cert-file={ca}&key-file={ca}"), "ca.pem holds no private key"),
        (format!("ca-file={ca}&cert-file={cert}&key-file={other_key}"), "KeyMismatch"),
    ] {
        let error = refusal(&format!("etcds://{nobody}?{options}")).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{options}: {error:?}");
        assert!(error.to_string().contains(why), "{options}: {error}");
    }
}
