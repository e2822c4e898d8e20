use async_trait::async_trait;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::{Contender, Meanwhile, raw_redis};
use crate::contended::race;

/// The least that handing over in order can take on Redis: who pops an element holds, and pushes it back.
/// A holder who dies takes it along. Only for the name of races.
pub(crate) struct Baton {
    /// One for each task, because whoever waits blocks a connection.
    connections: Vec<MultiplexedConnection>,
}

impl Baton {
    pub(crate) async fn connect(url: &str, tasks: usize) -> Self {
        let mut connections = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            connections.push(raw_redis::connect(url).await);
        }
        let () = connections[0].rpush(key(race::NAME), "baton").await.expect("the server answers");
        Self { connections }
    }
}

#[async_trait]
impl Contender for Baton {
    fn label(&self) -> String {
        "baton by `BLPOP`".into()
    }

    async fn turn(&self, task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let mut connection = self.connections[task].clone();
        let _: (String, String) = connection.blpop(key(name), 0.0).await.expect("the server answers");
        meanwhile.await;
        let () = connection.rpush(key(name), "baton").await.expect("the server answers");
    }
}

fn key(name: &str) -> String {
    format!("baton:{name}")
}
