//! The lock that a worker process uses.

use std::sync::Arc;

use clap::ValueEnum;
use dlock_core::{Connect, Error, ErrorKind, Locks, Result};
use dlock_testkit::broken::planted;
use dlock_testkit::chaos::{DlockLocker, Locker, WorkerConfig};
use dlock_testkit::stores;

use crate::lockers::{Belief, EtcdLock, SetNx};

/// The lock that workers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Locking {
    /// dlock.
    Dlock,
    /// `SET key id NX PX ttl` on Redis, polled; held until it is released.
    SetNx,
    /// The same, held until the ttl has passed.
    SetNxTimed,
    /// etcd's own lock service.
    EtcdLock,
}

impl Locking {
    /// Its name at the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no lock is hidden");
        value.get_name().to_owned()
    }
}

/// Connects a worker to what it is told to use.
pub(crate) async fn connect(config: WorkerConfig) -> Result<Arc<dyn Locker>> {
    let WorkerConfig { address, namespace, ttl, .. } = &config;
    let locking =
        Locking::from_str(&config.locker, false).map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
    Ok(match locking {
        Locking::Dlock => Arc::new(dlock(&config).await?),
        Locking::SetNx => Arc::new(SetNx::connect(address, namespace, *ttl, Belief::UntilRelease).await?),
        Locking::SetNxTimed => Arc::new(SetNx::connect(address, namespace, *ttl, Belief::UntilTtl).await?),
        Locking::EtcdLock => Arc::new(EtcdLock::connect(address, namespace, *ttl).await?),
    })
}

async fn dlock(config: &WorkerConfig) -> Result<DlockLocker> {
    let client = stores::open(&config.address)?.client();
    let client: Box<dyn Connect> = match &config.planted {
        None => client,
        Some(name) => {
            let unknown = || Error::new(ErrorKind::InvalidInput, format!("no bug is called {name}"));
            planted::find(name).ok_or_else(unknown)?.plant(client)
        }
    };
    let locks = Locks::builder(client)
        .namespace(config.namespace.parse()?)
        .ttl(config.ttl)
        .label(config.process.clone())
        .connect()
        .await?;
    Ok(DlockLocker::new(locks))
}
