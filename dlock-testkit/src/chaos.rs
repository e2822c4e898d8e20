//! Runs clients under faults that a seed decides, and records what happens.

mod locker;

pub use self::locker::{DlockLocker, Holding, Locker};
