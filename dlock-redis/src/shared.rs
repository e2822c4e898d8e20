//! What all connections of one backend share.

use std::sync::Arc;
use std::time::Duration;

use crate::keys::Keyspace;
use crate::registry::Registry;
use crate::scripts::Scripts;
use crate::server::ServerCheck;
use crate::tokens::Tokens;

/// What every connection is set up with, and what is known of the claims and tokens behind them.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The servers, for messages.
    pub(crate) place: String,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    pub(crate) check: ServerCheck,
    /// How many replicas must acknowledge a grant before anybody hears of it.
    pub(crate) replicas: u32,
    /// Where the scripts push what happens to this client's claims.
    pub(crate) inbox: String,
    pub(crate) keys: Keyspace,
    pub(crate) scripts: Scripts,
    pub(crate) tokens: Tokens,
    pub(crate) registry: Arc<Registry>,
}
