//! The judge of histories: everything that it must catch, and the nearest thing that it must not.

mod generated;
mod liveness;
mod overlaps;
mod reading;
mod registers;
mod reports;
mod script;
mod tokens;
