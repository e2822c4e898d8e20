//! The etcd backend of dlock.
//!
//! Needs etcd 3.4 or newer. One key per claim, on a lease that all claims of one ttl share; order
//! and fencing tokens are create revisions, minted by etcd's consensus log.
//!
//! - `keys`: where claims stand.
//! - `acquire`, `position`: the transactions that place a claim and find out what is before it.
//! - `turn`: waiting for the turn, and noticing the loss of a claim's key.
//! - `lease`, `leases`: what keeps claims alive.
//! - `watch`: the one long-lived watch stream.
//! - `rpc`, `error`: deadlines and what an error means.
//! - `config`, `peer`: connecting, and finding out that the peer is something else.

mod acquire;
mod backend;
mod claims;
mod config;
mod error;
mod inspect;
mod keys;
mod lease;
mod leases;
mod peer;
mod position;
mod rpc;
mod turn;
mod watch;

pub use config::EtcdConfig;
