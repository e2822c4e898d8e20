//! How a process learns that a claim file changed: pushed where the system can.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod inotify;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod polling;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use inotify::Watcher;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use polling::Watcher;

use dlock_core::ClaimId;

/// Why a claim watches a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// It is the claim's own.
    Own,
    /// It stands before the claim.
    Blocker,
}

/// What came of an attempt to watch a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Changes will be pushed.
    Yes,
    /// There is no such file any more.
    Gone,
    /// The system has no more watches, or none at all.
    No,
}

/// What was pushed.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Claims that should look at their files.
    pub(crate) about: Vec<ClaimId>,
    /// Something was lost on the way.
    pub(crate) lost: bool,
}
