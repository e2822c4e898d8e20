use std::path::PathBuf;

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificates of the authorities to trust instead of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// The certificate to show to the server, and its key.
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
}
