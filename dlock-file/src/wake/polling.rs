//! No pushes: the driver looks at the files from time to time.

use std::io;
use std::path::Path;

use dlock_core::ClaimId;

use super::{News, Role, Watched};

/// Watches nothing.
#[derive(Debug)]
pub(crate) struct Watcher;

impl Watcher {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn pushes(&self) -> bool {
        false
    }

    pub(crate) fn watch(&self, _: &Path, _: ClaimId, _: Role) -> Watched {
        Watched::No
    }

    pub(crate) fn forget(&self, _: ClaimId, _: Role) {}

    pub(crate) async fn next(&self) -> News {
        std::future::pending().await
    }
}
