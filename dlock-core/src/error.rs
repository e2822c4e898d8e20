//! The one error type of dlock.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What went wrong, and whether the request that failed could have taken effect.
///
/// Callers branch on [`Error::kind`], people read the `Display` text, and the client library's
/// own error stays reachable through [`std::error::Error::source`].
/// Contention is not an error: a lock that somebody else holds is `Ok(None)`.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    landed: Landed,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result type of every fallible dlock function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`], to branch on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A name, duration, URL, limit or option that can never work; the message names the bounds.
    InvalidInput,
    /// The backend does not offer what was asked; see `Capabilities`.
    Unsupported,
    /// The name is in use as another kind of lock, or with another permit limit.
    Mismatch,
    /// The service did not answer, or not in time. Trying again may help.
    Unavailable,
    /// The service refused for want of a login or a permission.
    Denied,
    /// The service refused because it has no room, or is read-only.
    Exhausted,
    /// What is stored under the name cannot be parsed; it blocks the name until it is broken.
    Damaged,
    /// The lease is gone: expired, broken or deleted. A lost lease never comes back.
    Lost,
    /// The owner holds this name already, in another mode.
    OtherMode,
    /// The owner holds this name as often as its limit allows.
    ReentryLimit,
    /// The client has been closed.
    Closed,
    /// The peer answered something that is not its protocol: probably another kind of server.
    Protocol,
    /// A defect in dlock or in a backend.
    Internal,
}

/// Whether a failed request could have changed the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Landed {
    /// It surely changed nothing.
    No,
    /// It may have been applied, or may still be applied later.
    Maybe,
}

impl Error {
    /// An error whose request surely changed nothing.
    ///
    /// `message` is a lowercase fragment that says what to do next.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, landed: Landed::No, message: message.into(), source: None }))
    }

    /// The same error, with what is known of the request's effect.
    #[must_use]
    pub fn with_landed(self, landed: Landed) -> Self {
        self.rebuild(|inner| inner.landed = landed)
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        self.rebuild(|inner| inner.source = Some(source))
    }

    /// The same error, its message preceded by `context` and a colon.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        self.rebuild(|inner| inner.message = format!("{context}: {}", inner.message))
    }

    /// The kind, to branch on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the request that failed could have changed the server.
    #[must_use]
    pub fn landed(&self) -> Landed {
        self.0.landed
    }

    /// Whether the same request may succeed when it is repeated with the same claim.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }

    fn rebuild(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| Inner {
            kind: shared.kind,
            landed: shared.landed,
            message: shared.message.clone(),
            source: shared.source.is_some().then(|| Box::new(Error(shared)) as _),
        });
        change(&mut inner);
        Self(Arc::new(inner))
    }
}

/// Lets functions take a value or what can become one.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("landed", &self.0.landed)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
