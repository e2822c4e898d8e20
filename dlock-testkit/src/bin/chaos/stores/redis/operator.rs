//! The operator's connections to Redis servers, which no fault of a worker's lines touches.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, InfoDict, RedisResult};

use crate::stores::patience::until;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Servers that take orders, counted from 0.
#[derive(Debug)]
pub(super) struct Operator {
    servers: Vec<SocketAddr>,
}

/// What a server is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Primary,
    /// Of the server at this port; whether it is connected to it and has caught up.
    Replica {
        of: u16,
        is_up: bool,
    },
}

impl Operator {
    pub(super) fn of(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    pub(super) fn count(&self) -> usize {
        self.servers.len()
    }

    pub(super) fn addr(&self, server: usize) -> SocketAddr {
        self.servers[server]
    }

    pub(super) async fn connection(&self, server: usize) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
        let client = Client::open(format!("redis://{}", self.servers[server]))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, server: usize, words: &[&str]) -> RedisResult<T> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.connection(server).await?).await
    }

    /// Repeats a command until it is obeyed.
    pub(super) async fn tell<T: FromRedisValue>(&self, server: usize, words: &[&str]) -> T {
        until(async || self.ask(server, words).await.map_err(|error| format!("{} is answered by {error}", words[0])))
            .await
    }

    /// Tells all servers.
    pub(super) async fn tell_all(&self, words: &[&str]) {
        join_all((0..self.count()).map(|server| self.tell::<redis::Value>(server, words))).await;
    }

    /// What each server says it is; `None` for one that does not say.
    pub(super) async fn roles(&self) -> Vec<Option<Role>> {
        join_all((0..self.count()).map(|server| self.role(server))).await
    }

    /// Those that say that they are primaries.
    pub(super) async fn primaries(&self) -> Vec<usize> {
        let roles = self.roles().await;
        (0..self.count()).filter(|server| roles[*server] == Some(Role::Primary)).collect()
    }

    async fn role(&self, server: usize) -> Option<Role> {
        let info: InfoDict = self.ask(server, &["INFO", "replication"]).await.ok()?;
        match info.get::<String>("role")?.as_str() {
            "master" => Some(Role::Primary),
            _ => {
                let is_up = info.get::<String>("master_link_status")? == "up";
                Some(Role::Replica { of: info.get("master_port")?, is_up })
            }
        }
    }
}
