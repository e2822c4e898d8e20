//! Servers of a case's own, and what happens to them.

use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::Subject;

/// Something that happens to servers. A case that needs it has it done to a [`Deployment`] of its
/// own, since those who share the servers would suffer too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// All servers are killed, and at its end started again with their data.
    Restart,
    /// All clients' sessions are ended by the operator, once: what claims live by where they live
    /// by a session, the connections where they do not.
    EndedSessions,
    /// The member that leads is killed, and at the end of the trouble started again.
    LeaderKilled,
    /// The member that leads is stopped where it is, and at the end of the trouble goes on.
    LeaderStopped,
    /// So few members are killed, not the one that leads, that the others are a majority.
    MinorityDown,
    /// So many members are killed that the others are no majority. At its end all run again.
    MajorityDown,
    /// The server's wall clock jumps ahead by an hour, and at the end of the trouble back again.
    ClockStep,
    /// The connections of all clients are reset, once. New ones work.
    ConnectionsReset,
    /// Requests arrive and are carried out, but no answer comes back; at its end all connections
    /// are reset.
    AnswersLost,
    /// What clients ask for is refused.
    Refusal(Refusal),
}

/// Why a server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's password is not valid any more.
    Login,
    /// The client's user may not touch the namespace any more.
    Permission,
    /// Nothing can be written.
    ReadOnly,
    /// There is no room for more.
    Full,
}

/// A service that one case has for itself, to have one [`Trouble`] with. All of it ends when this
/// is dropped.
#[async_trait]
pub trait Deployment: Debug + Send + Sync {
    /// How clients reach it, before, during and after the trouble.
    fn subject(&self) -> Arc<dyn Subject>;

    /// Makes the trouble, and returns when it has come about. It is called again only after
    /// [`Deployment::end`].
    async fn begin(&self);

    /// Ends the trouble, and returns when the servers serve as before. Clients may still need time
    /// to notice.
    async fn end(&self);

    /// Whether the trouble takes away the claims that stand when it begins, as ending the sessions
    /// does that they live by. A deployment that says so tells what is documented of the service.
    fn ends_claims(&self) -> bool {
        false
    }
}

/// A deployment that starts when this is awaited.
pub type Starting = BoxFuture<'static, Box<dyn Deployment>>;

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "servers of its own to kill, and start again with their data",
            Self::EndedSessions => "servers of its own, to end the sessions of their clients",
            Self::LeaderKilled => "members of its own, to kill the one that leads",
            Self::LeaderStopped => "members of its own, to stop the one that leads",
            Self::MinorityDown => "members of its own, to kill a minority of them",
            Self::MajorityDown => "members of its own, to kill a majority of them",
            Self::ClockStep => "a server of its own, to step its wall clock",
            Self::ConnectionsReset => "connections that can be reset",
            Self::AnswersLost => "connections on which answers can be lost",
            Self::Refusal(Refusal::Login) => "a service of its own that can refuse a login",
            Self::Refusal(Refusal::Permission) => "a service of its own that can take a permission away",
            Self::Refusal(Refusal::ReadOnly) => "a service of its own that can be made read-only",
            Self::Refusal(Refusal::Full) => "a service of its own that can be filled up",
        })
    }
}
