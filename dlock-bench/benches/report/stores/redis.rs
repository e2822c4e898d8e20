mod server_counts;

use std::sync::Arc;

use async_trait::async_trait;
use dlock_testkit::servers;
use redis::InfoDict;
use redis::aio::MultiplexedConnection;

use self::server_counts::ServerCounts;
use super::{ASKED, Count, Store, Watcher};
use crate::contenders::{Baton, Contender, DistributedLock, Dlock, RawRedis, Rslock, raw_connection};

/// A Redis server.
pub(crate) struct Redis {
    server: servers::Redis,
    connection: MultiplexedConnection,
}

#[async_trait]
impl Store for Redis {
    const NAME: &'static str = "Redis";
    const ROUND_TRIP: &'static str = "a `PING`";
    const COUNTED: &'static [&'static str] = &["reads", "sent", "run"];
    const COUNTED_MEANS: &'static str = "how often it read from connections, the commands that clients sent, and the \
        commands that it ran, those inside scripts included. Who asks for one thing at a time has one read for each \
        request; a request may have several commands.";

    async fn start() -> Self {
        let server = servers::Redis::start().await;
        Self { connection: raw_connection(&server.url()).await, server }
    }

    fn url(&self) -> String {
        self.server.url()
    }

    async fn alone(&self) -> Vec<Arc<dyn Contender>> {
        let url = self.url();
        vec![
            Arc::new(RawRedis::connect(&url).await),
            Arc::new(Rslock::connect(&url)),
            Arc::new(DistributedLock::connect(&url).await),
            Arc::new(Dlock::connect(&url).await),
        ]
    }

    async fn contended(&self, tasks: usize) -> Vec<Arc<dyn Contender>> {
        let mut contenders = self.alone().await;
        contenders.insert(1, Arc::new(Baton::connect(&self.url(), tasks).await));
        contenders.push(Arc::new(Dlock::connect_clients(&self.url(), tasks).await));
        contenders
    }

    async fn round_trip(&self) {
        let () = redis::cmd("PING").query_async(&mut self.connection.clone()).await.expect("the server answers");
    }

    fn count(&self) -> Count {
        let counts = ServerCounts::start(&self.url());
        Box::new(|| {
            let done = counts.stop();
            vec![done.reads, done.sent, done.run]
        })
    }

    fn watcher(url: &str) -> Watcher {
        let client = redis::Client::open(url).expect("a good URL");
        let mut connection = client.get_connection().expect("the server is there");
        let mut looks = 0;
        Box::new(move || {
            let info: InfoDict = redis::cmd("INFO").arg("all").query(&mut connection).expect("the server answers");
            let figure = |name| info.get::<u64>(name).expect("every server tells it");
            // A look is counted when it is answered.
            let asked = figure("total_commands_processed") - looks;
            looks += 1;
            vec![(ASKED, asked), ("scripts", scripts_run(&info)), ("memory", figure("used_memory"))]
        })
    }
}

/// How many scripts clients have asked for. Scripts call no others.
fn scripts_run(info: &InfoDict) -> u64 {
    let stat: Option<String> = info.get("cmdstat_evalsha");
    stat.and_then(|stat| stat.strip_prefix("calls=")?.split(',').next()?.parse().ok()).unwrap_or(0)
}
