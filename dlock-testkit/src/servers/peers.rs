//! The network between the members of a cluster, which can be cut.
//!
//! What members send each other passes through the test process, so each pair can be cut without
//! privileges. Either they take relays for each other ([`Relays`]), or, where a member can be told
//! to, they dial each other by a proxy ([`Proxies`]), which disturbs them less.

mod dialler;
mod line;
mod proxies;
mod relays;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) use self::proxies::Proxies;
pub(crate) use self::relays::Relays;
use super::ports;

/// Before connections are accepted again after that failed, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(10);

/// The network between members; dropping it ends what carries it.
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

impl Peers {
    /// Carries on, until dropped, what `spawn` spawns on the current runtime.
    fn start(spawn: impl FnOnce(&watch::Sender<Links>) -> io::Result<()>) -> io::Result<Self> {
        let (links, mut alive) = watch::channel(Links::default());
        let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
        {
            let _inside = runtime.enter();
            spawn(&links)?;
        }
        let until_dropped = async move { while alive.changed().await.is_ok() {} };
        let thread = thread::Builder::new().name("peers".into()).spawn(move || runtime.block_on(until_dropped))?;
        Ok(Self { links: Some(links), thread: Some(thread) })
    }

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

/// Serves whoever dials. What comes of one connection is between its two ends.
async fn serve_each<S>(listener: TcpListener, serve: impl Fn(TcpStream, SocketAddr) -> S)
where
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, from)) => drop(tokio::spawn(serve(stream, from))),
            Err(_) => sleep(PAUSE).await,
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
