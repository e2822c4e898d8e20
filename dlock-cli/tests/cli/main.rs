//! The `dlock` binary, driven as its users do.

mod bad_input;
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
