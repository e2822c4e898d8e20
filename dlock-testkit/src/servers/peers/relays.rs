//! Relays that members take for each other.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::dialler::Diallers;
use super::line::Line;
use super::{Links, Peers, bind, serve_each};
use crate::servers::Node;

/// How long a dialler is kept waiting for a member that does not listen.
const DIAL_BOUND: Duration = Duration::from_secs(10);

/// The relays of one cluster, not serving yet.
#[derive(Debug)]
pub(crate) struct Relays {
    /// By member, then by relayed port.
    listeners: Vec<Vec<StdListener>>,
}

/// One relayed port of one member.
#[derive(Debug)]
struct Relay {
    member: usize,
    target: SocketAddr,
    diallers: Arc<Diallers>,
    links: watch::Receiver<Links>,
}

impl Relays {
    /// Takes `each` ports for each of `members` members.
    pub(crate) fn bind(members: usize, each: usize) -> io::Result<Self> {
        let listeners = (0..members).map(|_| (0..each).map(|_| bind()).collect()).collect::<io::Result<_>>()?;
        Ok(Self { listeners })
    }

    /// The ports that stand for those of the members: by member, then by relayed port.
    pub(crate) fn ports(&self) -> io::Result<Vec<Vec<u16>>> {
        let port = |listener: &StdListener| listener.local_addr().map(|addr| addr.port());
        self.listeners.iter().map(|of_one| of_one.iter().map(port).collect()).collect()
    }

    /// Serves from now on: the relays of each member stand for the first ones of `relayed` among
    /// its ports.
    pub(crate) fn serve(self, nodes: Arc<[Arc<Node>]>, relayed: &[usize]) -> io::Result<Peers> {
        let diallers = Arc::new(Diallers::new(nodes.clone()));
        Peers::start(|links| {
            for (member, listeners) in self.listeners.into_iter().enumerate() {
                for (listener, port) in listeners.into_iter().zip(relayed) {
                    let Some(target) = nodes[member].behind_relay(*port) else { continue };
                    let relay = Relay { member, target, diallers: diallers.clone(), links: links.subscribe() };
                    let relay = Arc::new(relay);
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    tokio::spawn(serve_each(listener, move |stream, from| relay.clone().serve(stream, from)));
                }
            }
            Ok(())
        })
    }
}

impl Relay {
    /// What is dialled while the two are cut apart gets no answer, until the dialler gives up or
    /// may try again. If it were refused, members would dial in a loop.
    async fn serve(self: Arc<Self>, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        let pair = (self.dialler(from, stream.local_addr()?).await?, self.member);
        let mut line = Line::new(pair, self.links.clone());
        if line.is_cut() {
            return line.mended_unless_given_up(&mut stream).await;
        }
        let onward = dial(self.target).await?;
        line.carry(stream, onward).await
    }

    /// The member that dialled. The member itself stands for everybody who is no member: nothing
    /// parts it from itself.
    async fn dialler(&self, from: SocketAddr, here: SocketAddr) -> io::Result<usize> {
        if let Some(found) = self.diallers.find_by_address(from) {
            return Ok(found.unwrap_or(self.member));
        }
        let (diallers, accepted) = (self.diallers.clone(), Instant::now());
        // It takes milliseconds: what is relayed does not wait for it.
        let found = tokio::task::spawn_blocking(move || diallers.find(from, here, accepted)).await;
        Ok(found.map_err(io::Error::other)?.unwrap_or(self.member))
    }
}

/// Waits for a member that does not listen: it would refuse the dialler, but to the dialler this
/// relay has already accepted, and would have to end the connection at once.
async fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    let deadline = Instant::now() + DIAL_BOUND;
    loop {
        match TcpStream::connect(target).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}
