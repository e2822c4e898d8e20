//! What only etcd can get wrong. The conformance suite covers the rest.

mod client;
mod connect;
mod damage;
mod downgrade;
mod leases;
mod modes;
mod outages;
mod requests;
