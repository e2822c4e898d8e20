//! Where a link finds its server.

use std::sync::Arc;

use dlock_core::Result;
use redis::Client;

use crate::sentinel::Sentinels;

/// Asked anew for each connection.
#[derive(Debug)]
pub(crate) enum Source {
    /// Always the same server.
    Fixed(Arc<Server>),
    /// The primary that sentinels name.
    Sentinels(Arc<Sentinels>),
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) client: Client,
    /// Its address, for messages and to tell it from others.
    pub(crate) place: String,
}

impl Source {
    /// The server to connect to now.
    pub(crate) async fn server(&self) -> Result<Arc<Server>> {
        match self {
            Self::Fixed(server) => Ok(server.clone()),
            Self::Sentinels(sentinels) => sentinels.primary().await,
        }
    }

    /// Waits until another server than this one is to be used.
    pub(crate) async fn leaves(&self, server: &Server) {
        match self {
            Self::Fixed(_) => std::future::pending().await,
            Self::Sentinels(sentinels) => sentinels.leave(server).await,
        }
    }

    /// Whether the next attempt may find another server.
    pub(crate) fn may_change(&self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    pub(crate) fn close(&self) {
        match self {
            Self::Fixed(_) => {}
            Self::Sentinels(sentinels) => sentinels.close(),
        }
    }
}
