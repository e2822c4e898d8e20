//! Where a link finds its server.

use std::sync::Arc;

use dlock_core::Result;
use redis::Client;
use tokio::sync::Notify;

use crate::sentinel::Sentinels;

/// Asked anew for each connection.
#[derive(Debug)]
pub(crate) enum Source {
    /// Always the same server.
    Fixed(Arc<Server>),
    /// The primary that sentinels name.
    Sentinels(Arc<Sentinels>),
    /// A node of a cluster. When it is in trouble, the cluster is looked at: another may have its place.
    Node { server: Arc<Server>, stale: Arc<Notify> },
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
            Self::Fixed(server) | Self::Node { server, .. } => Ok(server.clone()),
            Self::Sentinels(sentinels) => sentinels.primary().await,
        }
    }

    /// Waits until another server than this one is to be used.
    pub(crate) async fn leaves(&self, server: &Server) {
        match self {
            Self::Fixed(_) | Self::Node { .. } => std::future::pending().await,
            Self::Sentinels(sentinels) => sentinels.leave(server).await,
        }
    }

    /// Whether the next attempt may find another server.
    pub(crate) fn may_change(&self) -> bool {
        matches!(self, Self::Sentinels(_))
    }

    /// Takes note that the server is gone, or cannot be connected to.
    pub(crate) fn troubled(&self) {
        if let Self::Node { stale, .. } = self {
            stale.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        if let Self::Sentinels(sentinels) = self {
            sentinels.close();
        }
    }
}
