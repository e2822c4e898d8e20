//! What a server must be, and what about it can lose locks.

mod facts;
mod findings;
mod rights;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlock_core::{Namespace, Result};
use redis::aio::MultiplexedConnection;

use self::facts::{Ask, Facts};
pub(crate) use self::findings::Topology;
use self::findings::{Finding, Wanted, findings, refusal};
use self::rights::Rights;
pub use self::rights::acl_rules;

/// Looks at each server that is connected to, before anything is stored there.
///
/// A server that cannot serve locks is refused each time. What can lose locks is told once per
/// server: a server that comes and goes would fill the log otherwise.
#[derive(Debug)]
pub(crate) struct ServerCheck {
    wanted: Wanted,
    rights: Rights,
    /// What was told already, and of which server.
    told: Mutex<HashSet<(String, Finding)>>,
    /// The servers that passed before.
    known: Mutex<HashSet<String>>,
}

impl ServerCheck {
    /// `user` is the name that clients log in by, if it is not the default user.
    pub(crate) fn new(topology: Topology, replicas: u32, namespace: &Namespace, user: Option<&str>) -> Self {
        let wanted = Wanted { topology, replicas };
        Self { wanted, rights: Rights::new(namespace, user, wanted), told: Mutex::default(), known: Mutex::default() }
    }

    /// Refuses a server that cannot serve locks or does not let this user have them, and warns of
    /// settings that lose them. `place` tells servers apart.
    pub(crate) async fn run(&self, connection: &mut MultiplexedConnection, place: &str) -> Result<()> {
        let ask = if lock(&self.known).contains(place) { Ask::Again } else { Ask::First };
        match Facts::learn(connection, ask).await? {
            Some(facts) => {
                if let Some(error) = refusal(&facts, self.wanted) {
                    return Err(error);
                }
                for finding in findings(&facts, self.wanted) {
                    self.tell(place, finding);
                }
            }
            None => self.tell(place, Finding::NothingIsSeen),
        }
        if ask == Ask::First {
            self.rights.check(connection).await?;
            lock(&self.known).insert(place.to_owned());
        }
        Ok(())
    }

    fn tell(&self, place: &str, finding: Finding) {
        if !lock(&self.told).insert((place.to_owned(), finding)) {
            return;
        }
        if finding.loses_locks() {
            tracing::warn!(redis = place, "{finding}");
        } else {
            tracing::info!(redis = place, "{finding}");
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
