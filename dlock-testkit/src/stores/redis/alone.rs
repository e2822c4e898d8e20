//! Redis servers of a case's own.

mod members;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::Client;
use async_trait::async_trait;

use super::RedisSubject;
use super::fleet::{Fleet, PASSWORD, RedisTopology, USER, add_user};
use super::operator::order;
use crate::servers::clock;
use crate::{Deployment, Refusal, Starting, Subject, Trouble};

const OTHER_PASSWORD: &str = "second";
const HOUR: Duration = Duration::from_secs(3600);
/// More replicas than there are.
const TOO_MANY: &str = "9";

#[derive(Debug)]
struct RedisAlone {
    fleet: Fleet,
    subject: Arc<RedisSubject>,
    /// To connect to each server that keeps keys, with all rights. No connection is kept: a server
    /// ends them when it is told to follow another.
    operators: Vec<Client>,
    trouble: Trouble,
    /// Of the user whom clients are, where it matters.
    rules: Vec<String>,
    /// The members that are down or stopped.
    victims: Mutex<Vec<usize>>,
}

/// Servers on which there can be this trouble, if there can be on such.
pub(super) fn alone(topology: RedisTopology, trouble: Trouble) -> Option<Starting> {
    let are_several = matches!(topology, RedisTopology::Sentinel | RedisTopology::Cluster);
    let is_offered = match trouble {
        Trouble::Restart | Trouble::EndedSessions | Trouble::Refusal(_) => true,
        // Members of a cluster also judge each other by it: it would be another trouble, too.
        Trouble::ClockStep => clock::can_be_stepped() && !are_several,
        Trouble::LeaderKilled | Trouble::LeaderStopped | Trouble::MinorityDown | Trouble::MajorityDown => are_several,
        _ => false,
    };
    is_offered.then(|| Box::pin(start(topology, trouble)) as Starting)
}

async fn start(topology: RedisTopology, trouble: Trouble) -> Box<dyn Deployment> {
    let fleet = Fleet::start(&topology, Some(trouble)).await;
    let operators = fleet.operators();
    let rules = topology.rules();
    let url = match trouble {
        Trouble::Refusal(Refusal::Login | Refusal::Permission) => {
            add_user(&operators, &rules).await;
            fleet.url_with_login()
        }
        _ => fleet.url(),
    };
    let subject = Arc::new(RedisSubject::of_fleet(&url, &fleet));
    Box::new(RedisAlone { fleet, subject, operators, trouble, rules, victims: Mutex::default() })
}

impl RedisAlone {
    /// On each server.
    async fn run(&self, words: &[&str]) {
        for operator in &self.operators {
            order::<::redis::Value>(operator, words).await.expect("the server obeys its operator");
        }
    }

    /// A connection that has subscribed to something is of another type.
    async fn end_connections(&self) {
        for kind in ["normal", "pubsub"] {
            self.run(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
    }

    async fn change_password(&self, password: &str) {
        self.run(&["ACL", "SETUSER", USER, "resetpass", &format!(">{password}")]).await;
    }

    /// One server follows another that is not there; of several, whose roles others see to, each
    /// misses replicas.
    async fn set_read_only(&self, begins: bool) {
        let words: &[&str] = match (&self.fleet, begins) {
            (Fleet::One(_), true) => &["REPLICAOF", "127.0.0.1", "1"],
            (Fleet::One(_), false) => &["REPLICAOF", "NO", "ONE"],
            (_, true) => &["CONFIG", "SET", "min-replicas-to-write", TOO_MANY],
            (_, false) => &["CONFIG", "SET", "min-replicas-to-write", "0"],
        };
        self.run(words).await;
    }

    fn step_clock(&self, begins: bool) {
        if let Fleet::One(server) = &self.fleet {
            if begins { server.step_clock_ahead(HOUR) } else { server.step_clock_back(HOUR) }
        }
    }

    fn victims(&self) -> MutexGuard<'_, Vec<usize>> {
        self.victims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Deployment for RedisAlone {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        match self.trouble {
            Trouble::Restart => self.fleet.kill(),
            Trouble::ClockStep => self.step_clock(true),
            Trouble::Refusal(Refusal::Login) => {
                self.change_password(OTHER_PASSWORD).await;
                // Who has logged in is not asked again.
                self.end_connections().await;
            }
            Trouble::Refusal(Refusal::Permission) => self.run(&["ACL", "SETUSER", USER, "resetkeys"]).await,
            Trouble::Refusal(Refusal::ReadOnly) => self.set_read_only(true).await,
            Trouble::Refusal(Refusal::Full) => self.run(&["CONFIG", "SET", "maxmemory", "1"]).await,
            Trouble::EndedSessions => self.end_connections().await,
            _ => self.take_members().await,
        }
    }

    async fn end(&self) {
        match self.trouble {
            Trouble::Restart => self.fleet.restart().await,
            Trouble::ClockStep => self.step_clock(false),
            Trouble::Refusal(Refusal::Login) => self.change_password(PASSWORD).await,
            Trouble::Refusal(Refusal::Permission) => add_user(&self.operators, &self.rules).await,
            Trouble::Refusal(Refusal::ReadOnly) => self.set_read_only(false).await,
            Trouble::Refusal(Refusal::Full) => self.run(&["CONFIG", "SET", "maxmemory", "0"]).await,
            Trouble::EndedSessions => {}
            _ => self.give_members_back().await,
        }
    }

    fn ends_claims(&self) -> bool {
        // Claims live by their keys, which expire by the server's wall clock.
        self.trouble == Trouble::ClockStep
    }
}
