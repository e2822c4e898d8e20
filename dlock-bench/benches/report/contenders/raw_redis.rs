use async_trait::async_trait;
use redis::IntoConnectionInfo;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;

use super::{Contender, Meanwhile, POLL, TTL};

/// The floor for Redis: `SET NX PX` and a script that compares and deletes, on one connection. It polls.
pub(crate) struct RawRedis {
    connection: MultiplexedConnection,
    release: redis::Script,
}

impl RawRedis {
    pub(crate) async fn connect(url: &str) -> Self {
        let release = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
        Self { connection: connect(url).await, release: redis::Script::new(release) }
    }

    async fn set(&self, name: &str) -> bool {
        let mut set = redis::cmd("SET");
        set.arg(name).arg("me").arg("NX").arg("PX").arg(TTL.as_millis() as u64);
        let done: Option<String> = set.query_async(&mut self.connection.clone()).await.expect("the server answers");
        done.is_some()
    }
}

#[async_trait]
impl Contender for RawRedis {
    fn label(&self) -> String {
        "raw `redis`".into()
    }

    async fn turn(&self, _task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        while !self.set(name).await {
            tokio::time::sleep(POLL).await;
        }
        meanwhile.await;
        let mut call = self.release.key(name);
        let deleted: i32 = call.arg("me").invoke_async(&mut self.connection.clone()).await.expect("the server answers");
        assert_eq!(deleted, 1, "nobody else deletes it");
    }
}

/// A connection set up as dlock's is: without the delay of small packets.
pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let info = url.into_connection_info().expect("a good URL");
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = redis::Client::open(info).expect("a good URL");
    client.get_multiplexed_async_connection().await.expect("the server is there")
}
