//! What the keeper does when answers are lost, late, out of order or nonsense, and when the backend
//! panics: on a memory store behind a script of faults, in paused time.

mod crowds;
mod defects;
mod downgrading;
mod ending;
mod granting;
mod limits;
mod renewing;
mod scripted;
mod world;
