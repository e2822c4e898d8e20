//! The file backend of dlock: locks between processes of one machine, without a server.
//!
//! All state is in one directory. A claim is a file that its process keeps locked with `flock(2)`:
//! when the process dies, however it dies, the kernel lets go of the lock, and the next process
//! that looks sees that the claim is dead. A stopped process keeps its claims.
//!
//! ```
//! let config = dlock_file::FileConfig::new("/run/lock/my-app");
//! assert_eq!(config.dir(), std::path::Path::new("/run/lock/my-app"));
//! ```
//!
//! # The directory
//! ```text
//! <dir>/<namespace>/control        the control lock, the epoch and the token counter
//! <dir>/<namespace>/<00…ff>/…      one file per claim, in the bucket of its name's hash:
//!     <name>~<place>~<w | h token>~<x | s | p limit>~<claim id>
//! ```
//! The file's *name* is the state of the claim (where it stands, whether it waits or holds, with
//! which token, in which mode), so that one directory read shows a whole queue and one `rename(2)`
//! grants; its *content* is the claim's record, for people and for `inspect`; its *lock* is its
//! life.

mod backend;
mod claims;
mod config;
mod control;
mod driver;
mod entry;
mod error;
mod look;
mod names;
mod place;
mod queue;
mod register;
mod room;
mod settle;
mod standing;
mod state;
mod timers;
mod wake;
mod withdraw;

pub use config::FileConfig;
