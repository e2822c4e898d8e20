//! The conformance suite on etcd.

use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, LockName, Namespace};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::{self, Skip};
use dlock_testkit::{Subject, Tamper, harness};
use etcd_client::{Client, DeleteOptions, GetOptions};

/// A server, by its URL.
#[derive(Clone, Debug)]
struct EtcdSubject {
    url: String,
}

fn main() -> ExitCode {
    harness::conformance("etcd", |address| {
        let url = match address {
            Some(address) => address,
            None => shared_server()?,
        };
        Ok(Box::new(EtcdSubject { url }))
    })
}

fn shared_server() -> Result<String, Skip> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    Ok(runtime.block_on(servers::etcd())?.url().to_owned())
}

impl EtcdSubject {
    fn config(&self) -> EtcdConfig {
        EtcdConfig::from_url(&self.url).expect("the server's url is good")
    }

    async fn connection(&self) -> Client {
        Client::connect(self.config().endpoints(), None).await.expect("the server is there")
    }
}

impl Subject for EtcdSubject {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(self.config())
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }

    fn ttl(&self) -> Duration {
        // The shortest that etcd grants.
        Duration::from_secs(2)
    }
}

#[async_trait]
impl Tamper for EtcdSubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        let all = DeleteOptions::new().with_prefix();
        self.connection().await.delete(format!("{namespace}/{name}//"), Some(all)).await.expect("the server obeys");
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        let under = format!("{namespace}/{name}//");
        let mut etcd = self.connection().await;
        let one = GetOptions::new().with_prefix().with_limit(1);
        let found = etcd.get(under.clone(), Some(one)).await.expect("the server obeys");
        let key = found.kvs().first().map_or_else(|| format!("{under}garbage").into_bytes(), |kv| kv.key().to_vec());
        etcd.put(key, "garbage", None).await.expect("the server obeys");
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        let count = GetOptions::new().with_prefix().with_count_only();
        let found = self.connection().await.get(format!("{namespace}/"), Some(count)).await.expect("the server obeys");
        usize::try_from(found.count()).expect("a count is not negative")
    }
}
