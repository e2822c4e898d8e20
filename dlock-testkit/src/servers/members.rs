//! Servers that form one service.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::thread;

use super::node::Recipe;
use super::peers::{Peers, Proxies, Relays};
use super::shared::blocking;
use super::{Node, node};

/// The servers of one cluster, counted from 0. Each can be killed, stopped, resumed and restarted
/// ([`Members::node`]), and cut off from the others, while clients reach it as before.
///
/// All are ended and removed on drop, and also when the test process dies without dropping
/// anything.
#[derive(Debug)]
pub struct Members {
    /// Before the nodes, so that it ends before them.
    peers: Peers,
    nodes: Arc<[Arc<Node>]>,
    /// The ports at which members know each other.
    peer_ports: Vec<Vec<u16>>,
}

impl Members {
    /// Starts `count` servers and waits until each serves. `recipe` makes the one for a member
    /// from the ports at which members know each other: by member, one for each of `relayed`,
    /// which count the ports of the members' own.
    pub(crate) fn start<R: Recipe>(
        count: usize,
        relayed: &[usize],
        mut recipe: impl FnMut(usize, &[Vec<u16>]) -> R,
    ) -> io::Result<Self> {
        node::with_other_ports(|| {
            let relays = Relays::bind(count, relayed.len())?;
            let peer_ports = relays.ports()?;
            let nodes = prepare(count, |member| recipe(member, &peer_ports))?;
            let peers = relays.serve(nodes.clone(), relayed)?;
            Self { peers, nodes, peer_ports }.launched()
        })
    }

    /// As [`Members::start`], for servers that dial their peers by a SOCKS proxy, if told to.
    /// `recipe` makes the one for a member from the addresses at which members are to listen for
    /// each other, `each` by member, and from that of this member's proxy.
    pub(crate) fn start_by_proxy<R: Recipe>(
        count: usize,
        each: usize,
        mut recipe: impl FnMut(usize, &[Vec<SocketAddrV4>], SocketAddr) -> R,
    ) -> io::Result<Self> {
        node::with_other_ports(|| {
            let proxies = Proxies::bind(count, each)?;
            let addrs = proxies.addrs()?;
            let nodes = prepare(count, |member| recipe(member, proxies.peers(), addrs[member]))?;
            let peer_ports = proxies.peers().iter().map(|addrs| addrs.iter().map(SocketAddrV4::port).collect());
            let peer_ports = peer_ports.collect();
            Self { peers: proxies.serve()?, nodes, peer_ports }.launched()
        })
    }

    /// How many there are, running or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none of this number.
    #[must_use]
    pub fn node(&self, member: usize) -> &Node {
        &self.nodes[member]
    }

    /// Where one of them serves clients.
    ///
    /// # Panics
    /// When there is none of this number.
    #[must_use]
    pub fn addr(&self, member: usize) -> SocketAddr {
        self.node(member).addr()
    }

    /// Kills one, if it runs, and starts it again with its data, on its ports; returns when it
    /// serves. Where it cannot serve without others that have been killed too, use
    /// [`Members::restart_all`].
    ///
    /// # Panics
    /// When it does not come up again; the message has the end of its log.
    pub async fn restart(&self, member: usize) {
        let node = self.nodes[member].clone();
        blocking(move || node.restart_blocking()).await;
    }

    /// Kills all that run, and starts all again with their data; returns when each serves.
    ///
    /// # Panics
    /// When one does not come up again; the message has the end of its log.
    pub async fn restart_all(&self) {
        let nodes = self.nodes.clone();
        blocking(move || restart_all(&nodes)).await;
    }

    /// [`Members::restart_all`] for code without async.
    ///
    /// # Panics
    /// When one does not come up again; the message has the end of its log.
    pub fn restart_all_blocking(&self) {
        restart_all(&self.nodes);
    }

    /// Cuts one off from all others: what members send waits, in both directions, on connections
    /// that are open, and new ones lead nowhere. Clients reach it as before.
    pub fn isolate(&self, member: usize) {
        self.peers.isolate(member);
    }

    /// Ends [`Members::isolate`]: what waits goes on.
    pub fn rejoin(&self, member: usize) {
        self.peers.rejoin(member);
    }

    /// Cuts these two off from each other, as [`Members::isolate`] does from all.
    pub fn cut(&self, one: usize, other: usize) {
        self.peers.cut(one, other);
    }

    /// Ends [`Members::cut`].
    pub fn mend(&self, one: usize, other: usize) {
        self.peers.mend(one, other);
    }

    pub(crate) fn nodes(&self) -> &Arc<[Arc<Node>]> {
        &self.nodes
    }

    /// The ports at which they know each other, by member.
    pub(crate) fn peer_ports(&self) -> &[Vec<u16>] {
        &self.peer_ports
    }

    fn launched(self) -> io::Result<Self> {
        launch(&self.nodes)?;
        Ok(self)
    }
}

/// What those say that run and answer, all asked at the same time: one that is stopped would hold
/// up the others.
pub(crate) fn ask_each<T: Send>(nodes: &[Arc<Node>], ask: impl Fn(&Node) -> Option<T> + Sync) -> Vec<Option<T>> {
    let ask = |node: &Node| node.running_pid().and_then(|_| ask(node));
    thread::scope(|scope| {
        let asked: Vec<_> = nodes.iter().map(|node| scope.spawn(|| ask(node))).collect();
        asked.into_iter().map(|answer| answer.join().unwrap_or_default()).collect()
    })
}

fn prepare<R: Recipe>(count: usize, mut recipe: impl FnMut(usize) -> R) -> io::Result<Arc<[Arc<Node>]>> {
    (0..count).map(|member| Node::prepare(recipe(member)).map(Arc::new)).collect()
}

/// Starts them together, for none may serve before the others run.
fn launch(nodes: &[Arc<Node>]) -> io::Result<()> {
    nodes.iter().try_for_each(|node| node.launch())?;
    nodes.iter().try_for_each(|node| node.wait_ready())
}

fn restart_all(nodes: &[Arc<Node>]) {
    nodes.iter().for_each(|node| node.kill());
    if let Err(error) = launch(nodes) {
        panic!("{error}");
    }
}
