//! The network between the members of a cluster, which can be cut.
//!
//! Members tell each other the addresses of relays in the test process instead of their own. A
//! relay learns which member dialled (see `dialler`), so each pair can be cut without privileges.
//! Whoever is no member, a client say, is always let through.

mod dialler;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::dialler::Diallers;
use super::{Node, ports};

/// As much as is read at once.
const BUFFER: usize = 16 * 1024;
/// How long a dialler is kept waiting for a member that does not listen.
const DIAL_BOUND: Duration = Duration::from_secs(10);
/// Before connections are accepted again after that failed, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(10);

/// The relays of one cluster, not serving yet.
#[derive(Debug)]
pub(crate) struct Relays {
    /// By member, then by relayed port.
    listeners: Vec<Vec<StdListener>>,
}

/// The network between members; dropping it ends the relays.
#[derive(Debug)]
pub(crate) struct Peers {
    links: Option<watch::Sender<Links>>,
    thread: Option<JoinHandle<()>>,
}

/// Which members may talk to each other.
#[derive(Clone, Debug, Default)]
struct Links {
    isolated: BTreeSet<usize>,
    /// The lower member of a pair goes first.
    cut: BTreeSet<(usize, usize)>,
}

/// One relayed port of one member.
#[derive(Debug)]
struct Relay {
    listener: TcpListener,
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
        let (links, _) = watch::channel(Links::default());
        let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
        {
            let _inside = runtime.enter();
            for (member, listeners) in self.listeners.into_iter().enumerate() {
                for (listener, port) in listeners.into_iter().zip(relayed) {
                    let Some(target) = nodes[member].behind_relay(*port) else { continue };
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    let relay =
                        Relay { listener, member, target, diallers: diallers.clone(), links: links.subscribe() };
                    runtime.spawn(relay.run());
                }
            }
        }
        let mut alive = links.subscribe();
        let until_dropped = async move { while alive.changed().await.is_ok() {} };
        let thread = thread::Builder::new().name("peers".into()).spawn(move || runtime.block_on(until_dropped))?;
        Ok(Peers { links: Some(links), thread: Some(thread) })
    }
}

impl Peers {
    /// No member but itself hears from `member` any more, nor does it hear from them.
    pub(crate) fn isolate(&self, member: usize) {
        self.change(|links| links.isolated.insert(member));
    }

    /// Ends [`Peers::isolate`].
    pub(crate) fn rejoin(&self, member: usize) {
        self.change(|links| links.isolated.remove(&member));
    }

    /// These two do not hear from each other any more.
    pub(crate) fn cut(&self, one: usize, other: usize) {
        self.change(|links| links.cut.insert(pair(one, other)));
    }

    /// Ends [`Peers::cut`].
    pub(crate) fn mend(&self, one: usize, other: usize) {
        self.change(|links| links.cut.remove(&pair(one, other)));
    }

    fn change(&self, change: impl FnOnce(&mut Links) -> bool) {
        if let Some(links) = &self.links {
            links.send_if_modified(change);
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.links.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Links {
    fn join(&self, (one, other): (usize, usize)) -> bool {
        let is_cut = |member| self.isolated.contains(&member);
        one == other || !(is_cut(one) || is_cut(other) || self.cut.contains(&pair(one, other)))
    }
}

impl Relay {
    async fn run(self) {
        let relay = Arc::new(self);
        loop {
            match relay.listener.accept().await {
                Ok((stream, from)) => drop(tokio::spawn(relay.clone().serve(stream, from))),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// While the two are cut apart, bytes wait, and no connection ends for either side.
    async fn serve(self: Arc<Self>, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        let pair = (self.dialler(from, stream.local_addr()?).await?, self.member);
        let links = self.links.clone();
        if !links.borrow().join(pair) {
            return lead_nowhere(stream, pair, links).await;
        }
        let onward = dial(self.target).await?;
        stream.set_nodelay(true)?;
        onward.set_nodelay(true)?;
        let ((from_dialler, to_dialler), (from_target, to_target)) = (stream.into_split(), onward.into_split());
        tokio::try_join!(
            pump(from_dialler, to_target, pair, links.clone()),
            pump(from_target, to_dialler, pair, links.clone())
        )?;
        Ok(())
    }

    /// The member that dialled. The member itself stands for everybody who is no member: nothing
    /// parts it from itself.
    async fn dialler(&self, from: SocketAddr, here: SocketAddr) -> io::Result<usize> {
        let (diallers, accepted) = (self.diallers.clone(), Instant::now().into_std());
        // It takes milliseconds: what is relayed does not wait for it.
        let found = tokio::task::spawn_blocking(move || diallers.find(from, here, accepted)).await;
        Ok(found.map_err(io::Error::other)?.unwrap_or(self.member))
    }
}

/// What is dialled while the two are cut apart gets no answer, until the dialler gives up or may
/// try again. If it were refused, members would dial in a loop.
async fn lead_nowhere(
    mut stream: TcpStream,
    pair: (usize, usize),
    mut links: watch::Receiver<Links>,
) -> io::Result<()> {
    let mut ignored = [0; 1024];
    let given_up = async {
        while stream.read(&mut ignored).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        done = given_up => done,
        joined = links.wait_for(|links| links.join(pair)) => joined.map(drop).map_err(io::Error::other),
    }
}

/// Waits for a member that does not listen yet, as one does that has just been elected: it would
/// refuse the dialler, who would try again, but to the dialler this relay has already accepted.
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

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    pair: (usize, usize),
    mut links: watch::Receiver<Links>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await;
        links.wait_for(|links| links.join(pair)).await.map_err(io::Error::other)?;
        match count? {
            0 => return to.shutdown().await,
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

fn bind() -> io::Result<StdListener> {
    loop {
        match StdListener::bind((Ipv4Addr::LOCALHOST, ports::free_port())) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_joined_unless_either_is_isolated_or_the_two_are_cut() {
        let mut links = Links::default();
        assert!(links.join((0, 2)));
        links.cut.insert(pair(2, 0));
        assert!(!links.join((0, 2)) && !links.join((2, 0)) && links.join((0, 1)));
        links.isolated.insert(1);
        assert!(!links.join((0, 1)) && !links.join((2, 1)));
        assert!(links.join((1, 1)), "clients count as the member itself");
    }
}
