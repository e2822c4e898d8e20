//! Servers that tell clients where the others are, behind relays on which connections can be broken.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::RedisSubject;
use super::fleet::Fleet;
use crate::chaos::{LineFault, Lines};
use crate::{Deployment, Starting, Subject, Trouble};

/// A fleet, which others use at the same time, on connections of the case's own.
#[derive(Debug)]
struct Relayed {
    subject: Arc<RedisSubject>,
    lines: Lines,
    trouble: Trouble,
}

/// Several servers behind relays, which also stand for what the servers say of each other.
pub(super) fn relayed(fleet: Arc<Fleet>, trouble: Trouble) -> Option<Starting> {
    let places = fleet.places();
    if places.is_empty() {
        return None;
    }
    Some(Box::pin(async move {
        let (servers, announced): (Vec<SocketAddr>, Vec<SocketAddr>) = places.into_iter().unzip();
        let lines = Lines::to(&servers, &announced).expect("relays to test servers can be started");
        let relays = servers.iter().zip(lines.addrs());
        let url = relays.fold(fleet.url(), |url, (server, relay)| url.replace(&server.to_string(), &relay.to_string()));
        let subject = Arc::new(RedisSubject::of_fleet(&url, &fleet));
        Box::new(Relayed { subject, lines, trouble }) as Box<dyn Deployment>
    }))
}

#[async_trait]
impl Deployment for Relayed {
    fn subject(&self) -> Arc<dyn Subject> {
        self.subject.clone()
    }

    async fn begin(&self) {
        let fault = if self.trouble == Trouble::AnswersLost { LineFault::DropReplies } else { LineFault::Reset };
        self.lines.spoil(fault, std::time::Duration::ZERO);
    }

    async fn end(&self) {
        // What has lost something is reset.
        self.lines.heal();
    }
}
