//! The lines between one worker and the servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::translator::{Dictionary, Translator};
use crate::proxy::{Direction, Flow, Proxy};

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Connections are reset, and new ones refused.
    Cut,
    /// Connections are reset, once.
    Reset,
    /// What the worker sends is swallowed.
    DropRequests,
    /// What the servers answer is swallowed.
    DropReplies,
    /// What the servers answer takes long.
    DelayReplies,
    /// What the worker sends arrives late, all at once.
    HoldRequests,
    /// What the servers answer arrives late, all at once.
    HoldReplies,
}

/// One worker's relays, one for each server.
#[derive(Debug)]
pub(crate) struct Lines {
    relays: Vec<Proxy>,
    /// Behind the relays, where servers tell clients of each other.
    translators: Vec<Translator>,
}

impl Lines {
    /// Lines to `servers`, which tell clients that they are at `announced`, if they do.
    pub(crate) fn to(servers: &[SocketAddr], announced: &[SocketAddr]) -> io::Result<Self> {
        let relays = servers.iter().map(|server| Proxy::start(*server)).collect::<io::Result<_>>()?;
        let mut lines = Self { relays, translators: Vec::new() };
        if !announced.is_empty() {
            let dictionary = Arc::new(Dictionary::new(announced, &lines.addrs())?);
            let start = |server: &SocketAddr| Translator::start(*server, dictionary.clone());
            lines.translators = servers.iter().map(start).collect::<io::Result<_>>()?;
            for (relay, translator) in lines.relays.iter().zip(&lines.translators) {
                relay.retarget(translator.addr());
            }
        }
        Ok(lines)
    }

    /// Where the worker reaches the servers.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.relays.iter().map(Proxy::addr).collect()
    }

    pub(crate) fn spoil(&self, fault: LineFault, delay: Duration) {
        for line in &self.relays {
            match fault {
                LineFault::Cut => line.cut(),
                LineFault::Reset => line.close_connections(),
                LineFault::DropRequests => line.set(Direction::ToServer, Flow::Drop),
                LineFault::DropReplies => line.set(Direction::ToClient, Flow::Drop),
                LineFault::DelayReplies => line.set(Direction::ToClient, Flow::Delay(delay)),
                LineFault::HoldRequests => line.set(Direction::ToServer, Flow::Hold),
                LineFault::HoldReplies => line.set(Direction::ToClient, Flow::Hold),
            }
        }
    }

    pub(crate) fn heal(&self) {
        self.relays.iter().for_each(|line| line.heal());
    }
}

impl LineFault {
    /// All of them, with their names in reports.
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::Cut, "cut client"),
        (Self::Reset, "reset client"),
        (Self::DropRequests, "drop requests"),
        (Self::DropReplies, "drop replies"),
        (Self::DelayReplies, "delay replies"),
        (Self::HoldRequests, "hold requests"),
        (Self::HoldReplies, "hold replies"),
    ];
}
