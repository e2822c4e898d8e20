//! Proves a dlock backend: conformance suite, real servers, faults.
//!
//! The suite is a list of [`Case`]s, each one scenario that every backend must show. A backend's
//! own test file says how the service is reached (a [`Subject`]) and runs them all:
//!
//! ```no_run
//! // tests/conformance.rs of an adapter, with `harness = false` in its manifest
//! use dlock_testkit::{MemorySubject, harness};
//!
//! fn main() -> std::process::ExitCode {
//!     harness::conformance("memory", |_address| Ok(Box::new(MemorySubject::new())))
//! }
//! ```
//!
//! A scenario that needs what the backend does not declare is listed as "not offered" and counts
//! as ignored, never as passed. The same goes for what the subject cannot give: cases that restart,
//! stop or fill up servers have it done to a [`Deployment`] of their own, see [`Subject::alone`]. That the cases can fail is proved too: each names a [`Flaw`], a
//! deliberate defect laid over a working backend, and must trip on it.

mod alone;
pub mod broken;
pub mod cancellation;
mod case;
#[expect(clippy::unwrap_used, reason = "a case fails by panicking")]
pub mod cases;
pub mod chaos;
pub mod check;
mod deployment;
mod faults;
pub mod harness;
pub mod history;
mod lab;
pub mod proxy;
mod reach;
pub mod servers;
pub mod stores;
mod subject;
pub mod timeline;
mod worker;

pub use alone::Alone;
pub use broken::Flaw;
pub use case::{Case, Need};
pub use deployment::{Deployment, Refusal, Starting, Trouble};
pub use faults::Faults;
pub use lab::{Crashable, Lab};
pub use reach::{Count, Requests};
pub use subject::{MemorySubject, Subject, Tamper};
pub use worker::Worker;
