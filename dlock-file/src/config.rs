//! What an application says about the file backend.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, ConnectContext, Error, ErrorKind, LockBackend, Result};

use crate::backend::FileBackend;

/// The file backend in a directory.
///
/// Every process that should exclude the others names the same directory, on a local file system,
/// with permission to read and write there. It is made when it is missing.
#[derive(Clone, Debug)]
pub struct FileConfig {
    dir: PathBuf,
    request_timeout: Duration,
}

impl FileConfig {
    /// Keeps all state in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), request_timeout: Duration::from_secs(5) }
    }

    /// How long a request waits for the control lock, which other processes hold for moments only,
    /// before it fails with `Unavailable`. The default is five seconds.
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[async_trait]
impl Connect for FileConfig {
    async fn connect(self: Box<Self>, context: ConnectContext) -> Result<Arc<dyn LockBackend>> {
        if self.request_timeout.is_zero() {
            return Err(Error::new(ErrorKind::InvalidInput, "a request timeout of zero lets no request finish"));
        }
        Ok(Arc::new(FileBackend::open(&self.dir, self.request_timeout, context).await?))
    }
}
