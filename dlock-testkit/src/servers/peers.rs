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

use super::{Node, ports};

/// As much as is read at once.
const BUFFER: usize = 16 * 1024;
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
    nodes: Arc<[Arc<Node>]>,
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
        let (links, _) = watch::channel(Links::default());
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        {
            let _inside = runtime.enter();
            for (member, listeners) in self.listeners.into_iter().enumerate() {
                for (listener, port) in listeners.into_iter().zip(relayed) {
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, nodes[member].ports()[*port]));
                    let relay = Relay { listener, member, target, nodes: nodes.clone(), links: links.subscribe() };
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
    fn join(&self, one: usize, other: usize) -> bool {
        let is_cut = |member| self.isolated.contains(&member);
        one == other || !(is_cut(one) || is_cut(other) || self.cut.contains(&pair(one, other)))
    }
}

impl Relay {
    async fn run(self) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Ok(here) = stream.local_addr() else { continue };
            // The member itself stands for everybody who is no member: nothing parts it from itself.
            let dialler = dialler::find(from, here, &self.nodes).unwrap_or(self.member);
            if self.links.borrow().join(dialler, self.member) {
                tokio::spawn(relay(stream, self.target, (dialler, self.member), self.links.clone()));
            }
        }
    }
}

/// While the two are cut apart, bytes wait, and no connection ends for either side.
async fn relay(
    stream: TcpStream,
    target: SocketAddr,
    pair: (usize, usize),
    links: watch::Receiver<Links>,
) -> io::Result<()> {
    let onward = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    let ((from_dialler, to_dialler), (from_target, to_target)) = (stream.into_split(), onward.into_split());
    tokio::try_join!(
        pump(from_dialler, to_target, pair, links.clone()),
        pump(from_target, to_dialler, pair, links.clone())
    )?;
    Ok(())
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (one, other): (usize, usize),
    mut links: watch::Receiver<Links>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await;
        links.wait_for(|links| links.join(one, other)).await.map_err(io::Error::other)?;
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
