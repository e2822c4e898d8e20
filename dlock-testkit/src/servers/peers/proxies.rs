//! Proxies by which members dial each other.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener as StdListener};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::line::Line;
use super::{Links, Peers, bind, serve_each};
use crate::servers::ports;

/// SOCKS version 5, the numbers of which are in RFC 1928.
const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const RESERVED: u8 = 0;
const IPV4: u8 = 1;

/// What a proxy answers.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Reply {
    Succeeded = 0,
    NotAllowed = 2,
    ConnectionRefused = 5,
}

/// A SOCKS proxy for each member of a cluster, not serving yet. Each serves one member only, so it
/// knows who dials; and a member that does not listen is found to refuse, as without a proxy.
#[derive(Debug)]
pub(crate) struct Proxies {
    /// By member.
    listeners: Vec<StdListener>,
    /// Where members are to listen for each other: by member.
    peers: Vec<Vec<SocketAddrV4>>,
}

/// The proxy of one member.
#[derive(Debug)]
struct Proxy {
    member: usize,
    /// Which member listens where.
    members: Arc<HashMap<SocketAddrV4, usize>>,
    links: watch::Receiver<Links>,
}

impl Proxies {
    /// Takes a port for the proxy of each of `members` members, and chooses `each` addresses for
    /// each of them, to listen for the others.
    ///
    /// They are on a loopback address of their own, chosen at random: a member may take a port late, as
    /// ZooKeeper's does when it is elected, and somebody else would have it by then.
    pub(crate) fn bind(members: usize, each: usize) -> io::Result<Self> {
        let listeners = (0..members).map(|_| bind()).collect::<io::Result<_>>()?;
        let ip = Ipv4Addr::new(127, fastrand::u8(1..), fastrand::u8(..), fastrand::u8(1..255));
        let mut ports = BTreeSet::new();
        while ports.len() < members * each {
            ports.insert(ports::free_port());
        }
        let addrs: Vec<_> = ports.into_iter().map(|port| SocketAddrV4::new(ip, port)).collect();
        let peers = addrs.chunks(each).map(<[_]>::to_vec).collect();
        Ok(Self { listeners, peers })
    }

    /// Where each member finds its proxy.
    pub(crate) fn addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(StdListener::local_addr).collect()
    }

    /// Where members are to listen for each other: by member.
    pub(crate) fn peers(&self) -> &[Vec<SocketAddrV4>] {
        &self.peers
    }

    /// Serves from now on.
    pub(crate) fn serve(self) -> io::Result<Peers> {
        let addrs = self.peers.iter().enumerate();
        let members = addrs.flat_map(|(member, addrs)| addrs.iter().map(move |addr| (*addr, member)));
        let members = Arc::new(members.collect());
        Peers::start(|links| {
            for (member, listener) in self.listeners.into_iter().enumerate() {
                listener.set_nonblocking(true)?;
                let proxy = Arc::new(Proxy { member, members: Arc::clone(&members), links: links.subscribe() });
                let serve = move |stream, _| proxy.clone().serve(stream);
                tokio::spawn(serve_each(TcpListener::from_std(listener)?, serve));
            }
            Ok(())
        })
    }
}

impl Proxy {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        let target = greet(&mut stream).await?;
        let Some(other) = self.members.get(&target) else {
            return answer(&mut stream, Reply::NotAllowed).await;
        };
        let mut line = Line::new((self.member, *other), self.links.clone());
        line.mended_unless_given_up(&mut stream).await?;
        let Ok(onward) = TcpStream::connect(target).await else {
            return answer(&mut stream, Reply::ConnectionRefused).await;
        };
        answer(&mut stream, Reply::Succeeded).await?;
        line.carry(stream, onward).await
    }
}

/// Where the dialler wants to go.
async fn greet(stream: &mut TcpStream) -> io::Result<SocketAddrV4> {
    let [version, methods] = read(stream).await?;
    expect(version == VERSION)?;
    stream.read_exact(&mut vec![0; usize::from(methods)]).await?;
    stream.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [version, command, _, kind] = read(stream).await?;
    expect((version, command, kind) == (VERSION, CONNECT, IPV4))?;
    let ip: [u8; 4] = read(stream).await?;
    Ok(SocketAddrV4::new(ip.into(), stream.read_u16().await?))
}

/// The address and port from which the proxy dialled, which nobody here asks for, are left open.
async fn answer(stream: &mut TcpStream, reply: Reply) -> io::Result<()> {
    let mut answer = vec![VERSION, reply as u8, RESERVED, IPV4];
    answer.extend(Ipv4Addr::UNSPECIFIED.octets());
    answer.extend([0, 0]);
    stream.write_all(&answer).await
}

async fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn expect(is_so: bool) -> io::Result<()> {
    if is_so { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn members_reach_each_other_unless_they_are_cut_apart() {
        let network = Network::start();
        let listener = network.listen(1);
        let mut dialled = network.dial(0, network.listening[1]);
        assert_eq!(receive(&mut dialled), SUCCEEDED);
        let (mut accepted, _) = listener.accept().unwrap();
        send(&mut dialled, &mut accepted);

        network.peers.cut(1, 0);
        accepted.write_all(b"answer").unwrap();
        assert_silent(&mut dialled);
        let mut late = network.dial(0, network.listening[1]);
        assert_silent(&mut late);
        network.peers.mend(0, 1);
        assert_eq!(&receive(&mut dialled), b"answer");
        assert_eq!(receive(&mut late), SUCCEEDED);
    }

    #[test]
    fn who_is_isolated_is_cut_off_in_both_directions() {
        let network = Network::start();
        let listeners = [0, 1, 2].map(|member| network.listen(member));
        network.peers.isolate(0);
        assert_silent(&mut network.dial(0, network.listening[1]));
        assert_silent(&mut network.dial(1, network.listening[0]));
        assert_eq!(receive(&mut network.dial(1, network.listening[2])), SUCCEEDED);
        network.peers.rejoin(0);
        assert_eq!(receive(&mut network.dial(1, network.listening[0])), SUCCEEDED);
        drop(listeners);
    }

    #[test]
    fn who_does_not_listen_refuses_and_strangers_are_not_dialled() {
        let network = Network::start();
        assert_eq!(receive(&mut network.dial(0, network.listening[1])), [5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(stranger) = stranger.local_addr().unwrap() else { unreachable!() };
        assert_eq!(receive(&mut network.dial(0, stranger)), [5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
    }

    /// Three members with an address each.
    struct Network {
        proxies: Vec<SocketAddr>,
        listening: Vec<SocketAddrV4>,
        peers: Peers,
    }

    impl Network {
        fn start() -> Self {
            let proxies = Proxies::bind(3, 1).unwrap();
            let (addrs, listening) = (proxies.addrs().unwrap(), proxies.peers().concat());
            Self { proxies: addrs, listening, peers: proxies.serve().unwrap() }
        }

        fn listen(&self, member: usize) -> TcpListener {
            TcpListener::bind(self.listening[member]).unwrap()
        }

        /// Asks for a connection as Java does, but does not wait for the answer.
        fn dial(&self, member: usize, to: SocketAddrV4) -> TcpStream {
            let mut stream = TcpStream::connect(self.proxies[member]).unwrap();
            stream.write_all(&[5, 2, 0, 2]).unwrap();
            assert_eq!(receive(&mut stream), [5, 0]);
            let (ip, port) = (to.ip().octets(), to.port().to_be_bytes());
            stream.write_all(&[&[5, 1, 0, 1], &ip[..], &port[..]].concat()).unwrap();
            stream
        }
    }

    fn send(from: &mut TcpStream, to: &mut TcpStream) {
        from.write_all(b"hello").unwrap();
        assert_eq!(&receive(to), b"hello");
    }

    fn receive<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut bytes = [0; N];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn assert_silent(stream: &mut TcpStream) {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let received = stream.read(&mut [0; 1]);
        assert_eq!(received.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    }
}
