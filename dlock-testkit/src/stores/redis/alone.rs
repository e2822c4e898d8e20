//! A Redis server of a case's own.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use async_trait::async_trait;

use super::RedisSubject;
use crate::servers::{Redis, clock};
use crate::{Deployment, Refusal, Starting, Subject, Trouble};

const PASSWORD: &str = "first";
const OTHER_PASSWORD: &str = "second";
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct RedisAlone {
    server: Redis,
    subject: Arc<RedisSubject>,
    /// Connected before the trouble, which does not touch it.
    operator: MultiplexedConnection,
    trouble: Trouble,
}

/// A server on which there can be this trouble, if there can be on one.
pub(super) fn alone(trouble: Trouble) -> Option<Starting> {
    let builder = match trouble {
        Trouble::Restart => Redis::builder().append_only(),
        Trouble::ClockStep if clock::can_be_stepped() => Redis::builder().with_steppable_clock(),
        Trouble::Refusal(Refusal::Login) => Redis::builder().with_password(PASSWORD),
        Trouble::EndedSessions | Trouble::Refusal(_) => Redis::builder(),
        _ => return None,
    };
    Some(Box::pin(async move {
        let server = builder.start().await;
        let subject = Arc::new(RedisSubject::from_url(&server.url()).expect("a test server's url is good"));
        let operator = subject.connection().await.expect("a server that serves takes a connection");
        Box::new(RedisAlone { server, subject, operator, trouble }) as Box<dyn Deployment>
    }))
}

impl RedisAlone {
    async fn run(&self, words: &[&str]) {
        let mut operator = self.operator.clone();
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async::<::redis::Value>(&mut operator).await.expect("the server obeys its operator");
    }

    /// A connection that has subscribed to something is of another type.
    async fn end_connections(&self) {
        for kind in ["normal", "pubsub"] {
            self.run(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
    }
}

#[async_trait]
impl Deployment for RedisAlone {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        match self.trouble {
            Trouble::Restart => self.server.kill(),
            Trouble::ClockStep => self.server.step_clock_ahead(HOUR),
            Trouble::Refusal(Refusal::Login) => {
                self.run(&["CONFIG", "SET", "requirepass", OTHER_PASSWORD]).await;
                // Who has logged in is not asked again.
                self.end_connections().await;
            }
            Trouble::Refusal(Refusal::Permission) => self.run(&["ACL", "SETUSER", "default", "resetkeys"]).await,
            Trouble::Refusal(Refusal::ReadOnly) => self.run(&["REPLICAOF", "127.0.0.1", "1"]).await,
            Trouble::Refusal(Refusal::Full) => self.run(&["CONFIG", "SET", "maxmemory", "1"]).await,
            _ => self.end_connections().await,
        }
    }

    async fn end(&self) {
        match self.trouble {
            Trouble::Restart => self.server.restart().await,
            Trouble::ClockStep => self.server.step_clock_back(HOUR),
            Trouble::Refusal(Refusal::Login) => self.run(&["CONFIG", "SET", "requirepass", PASSWORD]).await,
            Trouble::Refusal(Refusal::Permission) => self.run(&["ACL", "SETUSER", "default", "allkeys"]).await,
            Trouble::Refusal(Refusal::ReadOnly) => self.run(&["REPLICAOF", "NO", "ONE"]).await,
            Trouble::Refusal(Refusal::Full) => self.run(&["CONFIG", "SET", "maxmemory", "0"]).await,
            _ => {}
        }
    }

    fn ends_claims(&self) -> bool {
        // Claims live by their keys, which expire by the server's wall clock.
        self.trouble == Trouble::ClockStep
    }
}
