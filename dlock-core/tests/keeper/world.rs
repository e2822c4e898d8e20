use std::time::Duration;

use dlock_core::memory::{Memory, MemoryStore};
use dlock_core::{Builder, Clock, Connect, Guard, Lock, Locks, Result};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::scripted::{Call, Calls, Fate, MOMENT, Scripted};

/// A store and its clients, all of them in the paused time of one runtime.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: MemoryStore,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Clock::tokio();
        Self { store: MemoryStore::with_clock(clock.clone()), clock }
    }

    /// A client that meets no fault.
    pub(crate) async fn client(&self, ttl: Duration) -> Locks {
        connect(self.builder(Memory::on(&self.store)).ttl(ttl)).await
    }

    /// A client that meets the script's faults, and the record of its calls.
    pub(crate) async fn scripted(
        &self,
        ttl: Duration,
        script: impl Fn(Call, usize) -> Fate + Send + Sync + 'static,
    ) -> (Locks, Calls) {
        let backend = Scripted::on(&self.store, script);
        let calls = backend.calls();
        (connect(self.builder(backend).ttl(ttl)).await, calls)
    }

    /// For a client with settings of its own.
    pub(crate) fn builder(&self, backend: impl Connect) -> Builder {
        Locks::builder(backend).clock(self.clock.clone()).keeper_on(Handle::current())
    }
}

async fn connect(builder: Builder) -> Locks {
    builder.connect().await.expect("a memory store always answers")
}

/// The lock that all these tests are about.
pub(crate) fn lock(locks: &Locks) -> Lock {
    locks.lock("a").expect("the name is valid")
}

pub(crate) async fn acquire(locks: &Locks) -> Guard {
    lock(locks).acquire().await.expect("it is free and the service answers")
}

/// Begins to wait for the lock, and stands in line when this returns, unless a fault is in the way.
pub(crate) async fn wait_in_line(locks: &Locks) -> JoinHandle<Result<Guard>> {
    let lock = lock(locks);
    let waiter = tokio::spawn(async move { lock.acquire().await });
    sleep(MOMENT * 5).await;
    waiter
}

/// What comes of a wait, which must not last for ever.
pub(crate) async fn outcome(waiter: JoinHandle<Result<Guard>>) -> Result<Guard> {
    let ended = tokio::time::timeout(Duration::from_secs(600), waiter).await.expect("nobody waits for ever");
    ended.expect("acquiring does not panic")
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
