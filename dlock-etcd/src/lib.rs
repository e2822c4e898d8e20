//! The etcd backend of dlock. Needs etcd 3.4 or newer.
//!
//! One key per claim, on a lease that all claims of one ttl share; order and fencing tokens are
//! create revisions, minted by etcd's consensus log. A client uses its keys again, so that the history
//! of a name, which etcd keeps until it is compacted, costs nothing.
//!
//! ```no_run
//! use dlock_core::Locks;
//! use dlock_etcd::EtcdConfig;
//!
//! # async fn example() -> dlock_core::Result<()> {
//! let config = EtcdConfig::from_url("etcd://locks:change-me@10.0.0.1,10.0.0.2,10.0.0.3")?;
//! let locks = Locks::connect(config).await?;
//! let guard = locks.lock("reports/today")?.acquire().await?;
//! println!("working under token {}", guard.token()?);
//! guard.release().await?;
//! locks.close().await
//! # }
//! ```
//!
//! What only etcd offers: writes to etcd that happen only while a lock is held, by [`Ownership`].
//!
//! # What it assumes
//! - A claim ends with its lease: on time while the leader stays. A new leader gives every lease
//!   its full ttl again, so after an election a dead client's claim may stand a ttl longer.
//! - A leader that is stuck or was cut off answers keep-alives for a while. So a keep-alive counts only
//!   when a majority has answered after it in the same term: one read for each renewal, of all claims
//!   together. Before etcd 3.4.31 and 3.5.13 a leader whose disk hung may end living leases when it
//!   goes on; their holders are told by the watch on their keys. Fencing tokens hold in any case.
//! - A cluster restored from a snapshot has another id, and so its tokens another epoch, if it is
//!   restored with another `--initial-cluster-token`; give it one. Clients that are running notice
//!   it by the first answer: their claims from before are lost and are taken back where they came
//!   to life again, and they go on in the new epoch, which fences refuse until it is accepted. With the
//!   old token nothing tells the histories apart: stop the clients before.
//! - Clocks may be set as they like: the leader counts leases by its monotonic clock, the client by
//!   its own. Only their rates matter.
//!
//! # What it may do
//! A user of its own needs read and write access to the keys that begin with the namespace and a
//! slash, here those of the namespace `dlock`, and nothing else:
//!
//! ```text
//! etcdctl role add dlock
//! etcdctl role grant-permission dlock --prefix=true readwrite dlock/
//! etcdctl user add locks:change-me
//! etcdctl user grant-role locks dlock
//! ```
//!
//! It takes effect where authentication is enabled; where it is not yet, that needs a user `root`,
//! who may do everything:
//!
//! ```text
//! etcdctl user add root:change-me-too
//! etcdctl auth enable
//! ```
//!
//! Connecting is refused as `Denied` where the namespace may not be read. A user with the permission
//! `read` can look (`inspect`, `list`), and is denied all else. Rights that are taken away later are
//! missed by the next request that needs them, and that may be a release: etcd asks for no right to
//! keep a lease alive.
//!
//! # Where things are
//! - `keys`, `seats`: where claims stand.
//! - `request`, `acquire`, `position`: registering a claim, and finding out what is before it.
//! - `express`: the short cut for names that nobody else wants.
//! - `turn`, `settling`: waiting for the turn, and noticing the loss of a claim's key.
//! - `guarded`: writes of the application's own that happen only while a claim is held.
//! - `renew`, `downgrade`, `withdraw`, `inspect`: the other things that can be done with claims.
//! - `lease`, `leases`: what keeps claims alive. `claims`: which ones this client has.
//! - `watch`: the one long-lived watch stream.
//! - `rpc`, `error`: deadlines, what an error means, and what helps against it.
//! - `members`, `cluster`: which member is asked, and which cluster answers.
//! - `dial`: connections on other runtimes than the keeper's.
//! - `config`, `peer`: connecting, and finding out that the peer is something else.

mod acquire;
mod backend;
mod claims;
mod cluster;
mod config;
mod dial;
mod downgrade;
mod error;
mod express;
mod guarded;
mod inspect;
mod keys;
mod lease;
mod leases;
mod members;
mod peer;
mod position;
mod renew;
mod request;
mod rpc;
mod seats;
mod settling;
mod turn;
mod watch;
mod withdraw;

pub use config::EtcdConfig;
pub use dlock_core::address::TlsFiles;
pub use etcd_client;
pub use guarded::Ownership;
