use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Locks;
use crate::client::{Client, KeeperThread, Settings, closed};
use crate::keeper::{Keeper, Ready};
use crate::{BackendInfo, Clock, Connect, ConnectContext, Error, ErrorKind, Namespace, Result};

/// Settings of a client, from [`Locks::builder`].
#[derive(Debug)]
#[must_use = "nothing happens until `connect` is called"]
pub struct Builder {
    backend: Box<dyn Connect>,
    namespace: Namespace,
    ttl: Option<Duration>,
    label: String,
    max_holds: u32,
    max_hold_time: Option<Duration>,
    retry_for: Duration,
    clock: Clock,
    runtime: Option<Handle>,
}

impl Builder {
    /// The ttl of a client that sets none, where the backend takes it.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(30);

    pub(crate) fn new(backend: Box<dyn Connect>) -> Self {
        Self {
            backend,
            namespace: Namespace::default(),
            ttl: None,
            label: String::new(),
            max_holds: 1 << 16,
            max_hold_time: None,
            retry_for: Duration::from_secs(10),
            clock: Clock::system(),
            runtime: None,
        }
    }

    /// What keeps this application's names apart from others' on the same service. Default:
    /// `dlock`.
    pub fn namespace(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// How long the service keeps a claim after its last renewal: how soon a dead holder is
    /// replaced, and how long an outage a living one survives. Renewed every third of it.
    /// Default: 30 s, or what comes nearest within the backend's bounds.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// Who this client is, for people who inspect a lock.
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// How many guards one owner may have on one name. Default: 65,536.
    pub fn max_holds(self, max_holds: u32) -> Self {
        Self { max_holds, ..self }
    }

    /// After what time a held claim is no longer renewed, whatever its holder does. Default: never.
    pub fn max_hold_time(self, time: Duration) -> Self {
        Self { max_hold_time: Some(time), ..self }
    }

    /// For how long a request is repeated that the service does not answer. Default: 10 s.
    pub fn retry_for(self, time: Duration) -> Self {
        Self { retry_for: time, ..self }
    }

    /// For tests: another clock.
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// For tests: the keeper runs on this runtime instead of a thread of its own, so that time
    /// can be paused. Leases then live only as long as that runtime is driven.
    pub fn keeper_on(self, runtime: Handle) -> Self {
        Self { runtime: Some(runtime), ..self }
    }

    /// Connects.
    ///
    /// # Errors
    /// `InvalidInput` for a setting the backend does not take (the message names its bounds),
    /// `Unavailable` when nobody answers, `Denied` when the login is refused, `Protocol` when the
    /// peer is something else.
    ///
    /// # Cancel safety
    /// Safe: a connection that nobody waits for is closed.
    pub async fn connect(self) -> Result<Locks> {
        if self.max_holds == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "an owner must be allowed at least one guard: max_holds is 0",
            ));
        }
        if self.max_hold_time.is_some_and(|time| time.is_zero()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a maximum hold time of zero would never let a lock be held",
            ));
        }
        let (ready, connected) = oneshot::channel();
        let context = ConnectContext { namespace: self.namespace.clone(), clock: self.clock.clone() };
        let choices = Choices {
            namespace: self.namespace,
            ttl: self.ttl,
            label: self.label,
            max_holds: self.max_holds,
            max_hold_time: self.max_hold_time,
            retry_for: self.retry_for,
        };
        let keeper = Keeper::run(self.backend, context, move |info: &BackendInfo| choices.settle(info), ready);
        let thread = match self.runtime {
            Some(runtime) => {
                runtime.spawn(keeper);
                None
            }
            None => Some(spawn_thread(keeper)?),
        };
        let Ready { info, settings, commands, fast } = connected.await.unwrap_or_else(|_| Err(closed()))?;
        Ok(Locks::from_client(Client::new(info, settings, self.clock, commands, fast, thread)))
    }
}

/// What the builder was told, before it is known what the backend takes.
struct Choices {
    namespace: Namespace,
    ttl: Option<Duration>,
    label: String,
    max_holds: u32,
    max_hold_time: Option<Duration>,
    retry_for: Duration,
}

impl Choices {
    fn settle(self, info: &BackendInfo) -> Result<Settings> {
        let ttl = match self.ttl {
            Some(ttl) => info.ttl.check(ttl, info.scheme)?,
            None => info.ttl.clamp(Builder::DEFAULT_TTL),
        };
        Ok(Settings {
            namespace: self.namespace,
            ttl,
            label: self.label,
            max_holds: self.max_holds,
            max_hold_time: self.max_hold_time,
            retry_for: self.retry_for,
        })
    }
}

/// Runs the keeper on a thread and a runtime of its own.
fn spawn_thread(keeper: impl Future<Output = ()> + Send + 'static) -> Result<KeeperThread> {
    let failed = |error| Error::new(ErrorKind::Internal, "the keeper thread cannot be started").with_source(error);
    let (ending, ended) = blocking::channel();
    let (started, start) = blocking::channel();
    let thread = thread::Builder::new().name("dlock-keeper".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (runtime, outcome) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _ = started.send(outcome);
        if let Some(runtime) = runtime {
            runtime.block_on(keeper);
        }
        drop::<blocking::Sender<()>>(ending);
    });
    let thread = thread.map_err(failed)?;
    start.recv().unwrap_or(Ok(())).map_err(failed)?;
    Ok(KeeperThread { id: thread.thread().id(), ended: std::sync::Mutex::new(ended) })
}
