//! The `dlock` binary, driven as its users do.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod bad_input;
mod conformance;
mod counting;
mod environment;
mod exit_codes;
mod killing;
mod loss;
mod overlap;
mod service;
mod show;
mod signals;
mod site;
mod terminal;
mod waiting;
