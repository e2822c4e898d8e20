//! What only etcd can get wrong. The conformance suite covers the rest.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod client;
mod connect;
mod damage;
mod doubt;
mod downgrade;
mod express;
mod guarded;
mod leases;
mod login;
mod members;
mod meter;
mod modes;
mod outages;
mod requests;
mod rights;
mod seats;
mod tls;
