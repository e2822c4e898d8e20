//! Single etcd servers of the test's own.

use dlock_testkit::servers::Etcd;

use crate::talk::{connect, http};

#[tokio::test]
async fn etcd_keeps_its_data_over_a_kill() {
    let Ok(()) = Etcd::installed() else { return };
    let etcd = Etcd::start().await;
    let addr = etcd.addr();
    let put = http(addr, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#);
    assert!(put.contains(r#""revision":"2""#), "{put}");
    etcd.restart().await;
    let range = http(addr, "/v3/kv/range", r#"{"key":"a2V5"}"#);
    assert!(range.contains("dmFsdWU="), "{range}");
    etcd.kill();
    assert!(connect(addr).is_err(), "a killed server accepts nobody");
}
