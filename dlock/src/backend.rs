//! The contract between dlock and a coordination service, for those who bring another one.
//!
//! Implement [`LockBackend`] for the service and [`Connect`] for its configuration; users hand the
//! configuration to [`Locks::builder`](crate::Locks::builder).

pub use dlock_core::{
    Admission, Claim, Clock, Connect, ConnectContext, Contention, Event, FastAnswer, FastPath, Gone, Grant, Life, Line,
    Lines, LockBackend, Queue, Renewal, Requested, Scope, Ttl, Why, address,
};
