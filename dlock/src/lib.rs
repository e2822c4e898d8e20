//! Distributed locks with one API over any coordination service.
//!
//! Write code against [`Locks`], and let a URL say which service is behind it.
//!
#![cfg_attr(feature = "memory", doc = "```")]
#![cfg_attr(not(feature = "memory"), doc = "```no_run")]
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> dlock::Result<()> {
//! let locks = dlock::connect("memory:").await?;
//! let report = locks.lock("nightly-report")?;
//!
//! if let Some(guard) = report.acquire_within(Duration::from_secs(5)).await? {
//!     // Whatever stores the result refuses lower tokens: then a holder that was stopped, lost
//!     // the lock and does not know it yet, does no harm.
//!     println!("writing the report with token {}", guard.token()?);
//!     guard.release().await?;
//! }
//! locks.close().await
//! # }
//! ```
//!
//! # Backends
//!
//! | URL | needs the feature | the locks are shared by |
//! |---|---|---|
//! | `memory:` or `memory:NAME` | `memory` (default) | this process |
//! | `file:///var/lib/my-app/locks` | `file` (default) | the processes of this machine |
//! | `redis://[[user]:password@]host[:port][/database]` | `redis` | the clients of that Redis or Valkey server |
//! | `redis+unix://[[user]:password@]/path` | `redis` | the same, at a socket of this machine |
//! | `redis-sentinel://[[user]:password@]host[:port][,host[:port]…]/service[/database]` | `redis` | the clients of the primary that these sentinels name |
//! | `redis-cluster://[[user]:password@]host[:port][,host[:port]…]` | `redis` | the clients of that Redis or Valkey cluster |
//! | `etcd://[user:password@]host[:port][,host[:port]…]` | `etcd` | the clients of that etcd cluster |
//!
//! With the feature `tls` Redis and etcd are reached over TLS too, by `rediss` in the place of
//! `redis` and `etcds` in the place of `etcd`. The options `ca-file`, `cert-file` and `key-file` then
//! name PEM files: the authorities to trust instead of the system's, this client's certificate and
//! the key to it.
//!
//! Features add backends and change nothing else. Any other [`LockBackend`](backend::LockBackend)
//! is used through [`Locks::builder`].
//!
//! # Options in the URL
//!
//! Every backend takes these after a `?`, as in `redis://localhost?namespace=billing&ttl=10s`:
//!
//! | option | is |
//! |---|---|
//! | `namespace` | [`Builder::namespace`]: what keeps applications on one service apart |
//! | `ttl` | [`Builder::ttl`]: how soon a dead holder is replaced |
//! | `label` | [`Builder::label`]: who this client is, for people |
//! | `max-hold` | [`Builder::max_hold_time`]: how long a lock may be held at most |
//! | `retry-for` | [`Builder::retry_for`]: how long a request is repeated that is not answered |
//!
//! Some take more: what follows a `redis` URL is described at `RedisConfig::from_url` of
//! `dlock-redis`, what follows an `etcd` URL at `EtcdConfig::from_url` of `dlock-etcd`.
//!
//! Durations are written `500ms`, `30s`, `5m` or `1h 30m`; a bare number is seconds. Reserved
//! characters in a value are percent-encoded. Settings made on the [`Builder`] come later, and win.

mod address;
pub mod backend;
mod options;
mod scheme;

/// What only etcd offers: writes that happen only while a lock is held.
#[cfg(feature = "etcd")]
pub mod etcd {
    pub use dlock_etcd::{Ownership, etcd_client};
}

#[cfg(feature = "memory")]
pub use dlock_core::memory;
pub use dlock_core::{
    BackendInfo, Builder, Capabilities, Capability, ClaimId, ClaimInfo, ClaimRef, DamagedEntry, Error, ErrorKind,
    Fence, Guard, Health, Instant, Landed, Lease, LeaseState, Lock, LockName, LockState, Locks, Loss, Metadata, Mode,
    NamePage, NamePrefix, Namespace, Owner, Page, Predecessor, Result, RwLock, Semaphore, Token, TokenGuarantee,
    TtlBounds, Withdrawn,
};

use crate::address::Address;

/// Connects to the service at `url`, with the settings that are in it.
///
/// # Errors
/// As [`builder`] and [`Builder::connect`].
///
/// # Cancel safety
/// Safe: a connection that nobody waits for is closed.
pub async fn connect(url: &str) -> Result<Locks> {
    builder(url)?.connect().await
}

/// A client of the service at `url` with the settings that are in it, to make others before it
/// connects.
///
#[cfg_attr(feature = "memory", doc = "```")]
#[cfg_attr(not(feature = "memory"), doc = "```no_run")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> dlock::Result<()> {
/// let locks = dlock::builder("memory:?ttl=10s")?.label("web-7").connect().await?;
/// # locks.close().await
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` when the URL or an option in it cannot be used, and for a backend that is not
/// known or not compiled in: the message says which are. `Unsupported` for a form of the URL that
/// its backend does not know yet. No message repeats a password.
pub fn builder(url: &str) -> Result<Builder> {
    let address = Address::parse(url)?;
    let builder = scheme::open(&address)?;
    Ok(address.options.apply(builder))
}
