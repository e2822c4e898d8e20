//! Proves a dlock backend: conformance suite, real servers, faults.

pub mod servers;
