//! What is tested, and how to get at it.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::memory::{Memory, MemoryStore};
use dlock_core::{Connect, LockName, Namespace, Result};

use crate::{Starting, Trouble};

/// A service under test. Each case works in a namespace of its own, so that all can run at once.
#[async_trait]
pub trait Subject: Debug + Send + Sync {
    /// A new client of the service.
    fn client(&self) -> Box<dyn Connect>;

    /// How another process reaches the same service: the string that the subject's maker gets
    /// there. `None` when it cannot.
    fn address(&self) -> Option<String>;

    /// The operator's hand on the stored entries, if the subject offers it.
    fn tamper(&self) -> Option<Box<dyn Tamper>>;

    /// A deployment of the same service for one case alone, which starts when the future is
    /// awaited, and on which the trouble can be made. `None` when it cannot: where the service has
    /// no such thing, and where its servers are not the suite's to start. The cases that need it
    /// are then "not offered".
    fn alone(&self, trouble: Trouble) -> Option<Starting> {
        let _ = trouble;
        None
    }

    /// The ttl that cases about expiry work with: short, but long enough for a slow machine.
    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// What the service calls itself, with its version, for reports: `redis 7.0.15`. `None` when
    /// it does not say.
    async fn version(&self) -> Option<String> {
        None
    }

    /// Removes what is kept for namespaces that begin with `prefix`, claims and counters alike:
    /// the suite calls it when no client is left in them. Does nothing unless it is overridden.
    ///
    /// # Errors
    /// When something may be left.
    async fn wipe(&self, prefix: &str) -> Result<()> {
        let _ = prefix;
        Ok(())
    }
}

/// What an operator can do to a name's entries with the service's own tools.
#[async_trait]
pub trait Tamper: Debug + Send + Sync {
    /// Deletes all entries of the name, however they are stored.
    async fn delete(&self, namespace: &Namespace, name: &LockName);

    /// Overwrites an entry of the name with something that is no claim; makes one where there is
    /// none.
    async fn damage(&self, namespace: &Namespace, name: &LockName);

    /// How many entries the service stores for the namespace's names, counted in the store itself.
    async fn entries(&self, namespace: &Namespace) -> usize;
}

/// The memory backend as a subject.
#[derive(Clone, Debug, Default)]
pub struct MemorySubject {
    store: MemoryStore,
    has_fast_path: bool,
}

impl MemorySubject {
    /// A store of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same store, whose callers take free names by themselves.
    #[must_use]
    pub fn with_fast_path(self) -> Self {
        Self { has_fast_path: true, ..self }
    }
}

impl Subject for MemorySubject {
    fn client(&self) -> Box<dyn Connect> {
        let memory = Memory::on(&self.store);
        Box::new(if self.has_fast_path { memory.with_fast_path() } else { memory })
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }
}

#[async_trait]
impl Tamper for MemorySubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        self.store.delete(namespace, name);
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        self.store.damage(namespace, name, "garbage");
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        self.store.count_in(namespace)
    }
}
