//! What a chaos run needs to know of a store.

use std::fmt::Debug;
use std::net::SocketAddr;

use async_trait::async_trait;
use dlock_core::{Connect, LockName, Namespace};

use super::LineFault;

/// Running servers of one store, and what can be done to them.
#[async_trait]
pub trait Target: Debug + Send + Sync {
    /// What it is, such as `etcd-3`: names the run in reports.
    fn store(&self) -> &str;

    /// Where its servers serve clients. Each worker reaches each of them by a relay of its own,
    /// which the lab cuts and slows. Empty where a store has no network.
    fn servers(&self) -> Vec<SocketAddr>;

    /// What these servers tell clients of where they and the others are, in the order of
    /// [`Target::servers`]; empty where they tell nothing, or nothing that clients follow. What a
    /// worker is told is put into the addresses of its own relays, so that it has no way past them.
    fn announced(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// The address that a worker connects to, when the servers are reached at `servers`, in the
    /// order of [`Target::servers`].
    fn address(&self, servers: &[SocketAddr]) -> String;

    /// A client that no fault stands before: for the lab's own looks at the store.
    fn client(&self) -> Box<dyn Connect>;

    /// The faults that this store can take besides those of clients and their network.
    fn kinds(&self) -> Vec<Kind>;

    /// Begins a fault, and tells in words whom it hits.
    async fn begin(&self, fault: &Aimed) -> String;

    /// Ends it: whatever was stopped, killed or cut works again when this returns.
    async fn end(&self, fault: &Aimed);

    /// How many entries the store's own tools count for the namespace's names, where they can.
    async fn entries(&self, namespace: &Namespace) -> Option<u64>;
}

/// A kind of fault: a row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, such as `kill leader`.
    pub name: &'static str,
    /// What it is aimed at, and so who does it.
    pub aim: Aim,
    /// Whether docs/guarantees.md excepts it from exclusion: overlaps in its wake count apart.
    pub breaks_exclusion: bool,
    /// Whether the servers forget by it what they knew: tokens may begin anew once, in another epoch.
    pub takes_history: bool,
}

impl Kind {
    /// One under which all that is promised must hold.
    #[must_use]
    pub const fn new(name: &'static str, aim: Aim) -> Self {
        Self { name, aim, breaks_exclusion: false, takes_history: false }
    }

    /// One that docs/guarantees.md excepts from exclusion.
    #[must_use]
    pub const fn breaking_exclusion(self) -> Self {
        Self { breaks_exclusion: true, ..self }
    }

    /// One by which the servers forget what they knew.
    #[must_use]
    pub const fn taking_history(self) -> Self {
        Self { takes_history: true, ..self }
    }
}

/// What a fault is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A worker process, which is stopped.
    StopWorker,
    /// A worker process, which is killed and replaced.
    KillWorker,
    /// A worker's lines to all servers.
    Lines(LineFault),
    /// The servers, for a while: the target does it.
    Servers,
    /// The servers, at one moment: the target does it.
    ServersOnce,
    /// The entries of one name, until they are put right: the target does it.
    Name,
}

/// A fault of the target's own, aimed.
#[derive(Clone, Debug)]
pub struct Aimed {
    /// Which.
    pub kind: Kind,
    /// A random number, the same for each replay: whom to hit, where there is a choice.
    pub choice: u64,
    /// The namespace of the run.
    pub namespace: Namespace,
    /// For [`Aim::Name`], which.
    pub name: LockName,
}
