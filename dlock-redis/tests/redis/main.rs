//! What only this store has, against real servers; what all backends share is in the conformance suite.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests, their helpers too")]

mod acl;
mod checks;
mod cluster;
mod connecting;
mod damage;
mod express;
mod faults;
mod history;
mod model;
mod queue;
mod replicas;
mod sentinel;
mod soak;
mod support;
mod tls;
