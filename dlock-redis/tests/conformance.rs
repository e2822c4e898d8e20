//! The conformance suite on Redis.

use std::process::ExitCode;

use async_trait::async_trait;
use dlock_core::{Connect, LockName, Namespace};
use dlock_redis::RedisConfig;
use dlock_testkit::servers::{self, Skip};
use dlock_testkit::{Subject, Tamper, harness};
use redis::aio::MultiplexedConnection;

/// A server, by its URL.
#[derive(Clone, Debug)]
struct RedisSubject {
    url: String,
}

fn main() -> ExitCode {
    harness::conformance("redis", |address| {
        let url = match address {
            Some(address) => address,
            None => shared_server()?,
        };
        Ok(Box::new(RedisSubject { url }))
    })
}

fn shared_server() -> Result<String, Skip> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    Ok(runtime.block_on(servers::redis())?.url().to_owned())
}

impl RedisSubject {
    async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).expect("the server's url is good");
        client.get_multiplexed_async_connection().await.expect("the server is there")
    }

    async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.connection().await).await.expect("the server obeys")
    }
}

impl Subject for RedisSubject {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(RedisConfig::from_url(&self.url).expect("the server's url is good"))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }
}

#[async_trait]
impl Tamper for RedisSubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        let keys = ["name", "order", "due"].map(|kind| format!("{namespace}:{{0}}:{kind}:{name}"));
        self.run::<()>(&["DEL", &keys[0], &keys[1], &keys[2]]).await;
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        self.run::<()>(&["SET", &format!("{namespace}:{{0}}:name:{name}"), "garbage"]).await;
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        let keys: Vec<String> = self.run(&["KEYS", &format!("{namespace}:{{0}}:*:*")]).await;
        keys.len()
    }
}
