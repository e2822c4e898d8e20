//! A TCP relay that can be cut, slowed, held and made lossy.
//!
//! A [`Proxy`] listens on a port of its own and passes on what it is sent. What it does to the
//! bytes is said by a [`Link`], per [`Direction`], at any time, for connections old and new.
//!
//! All proxies of a process share one thread with a runtime of its own: a test that blocks its
//! runtime does not stall them.

mod connection;
mod counts;
mod flow;
mod lane;
mod link;
mod thread;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::connection::Connection;
pub use self::counts::{Counts, LaneCounts};
pub use self::flow::{Direction, Flow};
pub use self::link::Link;
use crate::servers::free_port;

/// A relay to one server.
///
/// Dropping it resets its connections and stops listening, within moments.
pub struct Proxy {
    addr: SocketAddr,
    link: Link,
    route: Arc<Route>,
    /// Dropped with the proxy, which ends its tasks.
    _alive: watch::Sender<()>,
}

/// How a [`Proxy`] is started.
pub struct ProxyBuilder {
    to: SocketAddr,
    filter: Option<Filter>,
}

type Filter = Arc<dyn Fn(SocketAddr) -> Option<Link> + Send + Sync>;

/// Where connections go, and which link governs them.
struct Route {
    to: Mutex<SocketAddr>,
    filter: Option<Filter>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface, and relays to `to`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(to: SocketAddr) -> io::Result<Self> {
        Self::builder(to).start()
    }

    /// To start one with other settings.
    #[must_use]
    pub fn builder(to: SocketAddr) -> ProxyBuilder {
        ProxyBuilder { to, filter: None }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on new connections go to `to`.
    pub fn retarget(&self, to: SocketAddr) {
        *self.route.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// The link of all connections for which the filter named no other.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// See [`Link::set`].
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.link.set(direction, flow);
    }

    /// See [`Link::heal`].
    pub fn heal(&self) {
        self.link.heal();
    }

    /// See [`Link::cut`].
    pub fn cut(&self) {
        self.link.cut();
    }

    /// See [`Link::close_connections`].
    pub fn close_connections(&self) {
        self.link.close_connections();
    }

    /// See [`Link::counts`].
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.link.counts()
    }
}

impl ProxyBuilder {
    /// Lets `filter` choose the link that governs a connection, by the dialler's address. Where it
    /// names none, the proxy's own governs. It is asked once for each connection, on a thread
    /// where it may block.
    #[must_use]
    pub fn with_filter(self, filter: impl Fn(SocketAddr) -> Option<Link> + Send + Sync + 'static) -> Self {
        Self { filter: Some(Arc::new(filter)), ..self }
    }

    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(self) -> io::Result<Proxy> {
        let listener = listen()?;
        let addr = listener.local_addr()?;
        let relay = thread::relay();
        let listener = {
            let _entered = relay.enter();
            TcpListener::from_std(listener)?
        };
        let link = Link::new();
        let route = Arc::new(Route { to: Mutex::new(self.to), filter: self.filter });
        let (alive, ended) = watch::channel(());
        relay.spawn(accept(listener, route.clone(), link.clone(), ended));
        Ok(Proxy { addr, link, route, _alive: alive })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("addr", &self.addr).field("to", &self.route.target()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ProxyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyBuilder").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Route {
    fn target(&self) -> SocketAddr {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen() -> io::Result<StdListener> {
    loop {
        match StdListener::bind((Ipv4Addr::LOCALHOST, free_port())) {
            // Somebody else took the port in between.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
        }
    }
}

async fn accept(listener: TcpListener, route: Arc<Route>, own: Link, mut ended: watch::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.changed() => return,
        };
        match accepted {
            Ok((client, dialler)) => {
                tokio::spawn(serve(client, dialler, route.clone(), own.clone(), ended.clone()));
            }
            // No descriptor is left, say: there may be one soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(client: TcpStream, dialler: SocketAddr, route: Arc<Route>, own: Link, ended: watch::Receiver<()>) {
    let to = route.target();
    let link = match route.filter.clone() {
        None => own,
        Some(filter) => match tokio::task::spawn_blocking(move || filter(dialler)).await {
            Ok(chosen) => chosen.unwrap_or(own),
            // The filter panicked: the connection is no good to anybody.
            Err(_) => return,
        },
    };
    Connection::new(client, link, ended).run(to).await;
}
