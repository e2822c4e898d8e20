//! The operator's hand on the stored entries, by the store's own client.

use dlock_core::{Connect, Locks, Namespace, Result};
use dlock_testkit::chaos::{self, Aim, Aimed, Kind};
use dlock_testkit::{Subject, Tamper};

pub(super) const DELETE: &str = "delete entries";
pub(super) const DAMAGE: &str = "damage entry";

/// How often a server is asked that answers late, as on a busy machine.
const ATTEMPTS: u32 = 10;

/// The entries of a store.
#[derive(Debug)]
pub(super) struct Entries {
    subject: Box<dyn Subject>,
}

impl Entries {
    pub(super) fn of(subject: Box<dyn Subject>) -> Self {
        Self { subject }
    }

    pub(super) fn kinds() -> [Kind; 2] {
        [DELETE, DAMAGE].map(|name| Kind::new(name, Aim::Name).breaking_exclusion())
    }

    pub(super) async fn begin(&self, fault: &Aimed) -> String {
        match fault.kind.name {
            DAMAGE => self.tamper().damage(&fault.namespace, &fault.name).await,
            _ => self.tamper().delete(&fault.namespace, &fault.name).await,
        }
        fault.name.to_string()
    }

    pub(super) async fn end(&self, fault: &Aimed) {
        if fault.kind.name == DAMAGE {
            clear_damage(|| self.client(), fault).await;
        }
    }

    pub(super) fn client(&self) -> Box<dyn Connect> {
        self.subject.client()
    }

    pub(super) async fn count(&self, namespace: &Namespace) -> u64 {
        self.tamper().entries(namespace).await as u64
    }

    fn tamper(&self) -> Box<dyn Tamper> {
        self.subject.tamper().expect("the stores that dlock ships can be tampered with")
    }
}

/// Removes what is damaged, as an operator does who has looked at it.
pub(super) async fn clear_damage(client: impl Fn() -> Box<dyn Connect>, fault: &Aimed) {
    let locks = chaos::connect(client, &fault.namespace).await.expect("nothing else is wrong with the store");
    for attempt in 1.. {
        let Err(error) = clear(&locks, fault).await else { break };
        assert!(error.is_retryable() && attempt < ATTEMPTS, "damage cannot be cleared: {error}");
    }
    locks.close().await.expect("a client can be closed");
}

async fn clear(locks: &Locks, fault: &Aimed) -> Result<()> {
    for entry in &locks.inspect(fault.name.clone()).await?.damaged {
        locks.clear_damage(&fault.name, entry).await?;
    }
    Ok(())
}
