use std::path::PathBuf;

/// Certificates in files, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The authorities that may have signed a server's certificate; those of the system if none.
    pub(crate) ca: Option<PathBuf>,
    /// What this client shows, its own certificate first.
    pub(crate) cert: Option<PathBuf>,
    /// The key to `cert`.
    pub(crate) key: Option<PathBuf>,
}
