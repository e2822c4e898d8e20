//! etcd servers that ask who is there.

#[cfg(feature = "tls")]
use std::fs;

use dlock_testkit::servers::{Etcd, EtcdCluster, EtcdVersion};
use etcd_client::{Client, ConnectOptions, Error};

const USER: &str = "locks";
const PASSWORD: &str = "first";

#[tokio::test]
async fn a_user_is_kept_to_its_keys_also_after_a_restart() {
    let Ok(()) = Etcd::installed() else { return };
    let etcd = Etcd::builder().with_login(USER, PASSWORD, "t-").start().await;
    assert_eq!(etcd.url(), format!("etcd://locks:first@{}", etcd.addr()));
    etcd.restart().await;
    let options = ConnectOptions::new().with_user(USER, PASSWORD);
    let mut user = Client::connect([etcd.endpoint()], Some(options)).await.unwrap();
    user.put("t-1", "", None).await.unwrap();
    assert!(denied(user.put("t.", "", None).await));
    assert!(denied(user.auth_disable().await), "it is no operator");
    etcd.operator().await.put("t.", "", None).await.unwrap();
    let mut nobody = Client::connect([etcd.endpoint()], None).await.unwrap();
    assert!(nobody.put("t-1", "", None).await.is_err());
}

#[tokio::test]
async fn members_that_ask_for_logins_tell_who_leads() {
    let Ok(()) = EtcdVersion::V3_5.installed() else { return };
    let etcd = EtcdCluster::builder().with_version(EtcdVersion::V3_5).with_login(USER, PASSWORD, "").start().await;
    let leader = etcd.wait_for_leader(None).await;
    etcd.node(leader).kill();
    let next = etcd.wait_for_leader(Some(leader)).await;
    let options = ConnectOptions::new().with_user(USER, PASSWORD);
    let mut user = Client::connect([etcd.addr(next).to_string()], Some(options)).await.unwrap();
    user.put("anything", "", None).await.unwrap();
    etcd.restart(leader).await;
    etcd.operator().await.user_get(USER).await.unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn clients_are_known_by_a_certificate_or_by_a_password() {
    use etcd_client::{Certificate, Identity, TlsOptions};

    for version in [EtcdVersion::Installed, EtcdVersion::V3_5] {
        let Ok(()) = version.installed() else { continue };
        let builder = Etcd::builder().with_version(version).with_tls_both_ways(USER);
        let etcd = builder.with_login(USER, PASSWORD, "t-").start().await;
        let read = |name: &str| fs::read(etcd.dir().join(name)).unwrap();
        let known = TlsOptions::new().ca_certificate(Certificate::from_pem(read("ca.pem")));
        let shown = known.clone().identity(Identity::from_pem(read("client.pem"), read("client-key.pem")));
        let connect = |tls| Client::connect([etcd.endpoint()], Some(ConnectOptions::new().with_tls(tls)));
        let mut user = connect(shown).await.unwrap();
        user.put("t-1", "", None).await.unwrap();
        assert!(denied(user.put("t.", "", None).await), "the certificate names a user");
        let mut stranger = connect(known).await.unwrap();
        assert!(stranger.put("t-1", "", None).await.is_err(), "without a certificate nobody is served");
        etcd.restart().await;
        etcd.operator().await.put("t.", "", None).await.unwrap();
        assert!(etcd.url().starts_with("etcds://locks:first@") && etcd.url().contains("&cert-file="));
        assert!(etcd.url_without_login().starts_with("etcds://127.0.0.1:"));
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_with_tls_serves_its_operator() {
    let Ok(()) = Etcd::installed() else { return };
    let etcd = Etcd::builder().with_tls().start().await;
    etcd.operator().await.put("key", "", None).await.unwrap();
    assert!(!etcd.url().contains("cert-file"), "{}", etcd.url());
}

fn denied<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::GRpcStatus(status)) if status.message().contains("permission denied"))
}
