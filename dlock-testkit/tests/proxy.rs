//! The relay does to connections what it is told, and nothing else.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use dlock_testkit::proxy::{Counts, Direction, Flow, Link, Proxy};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let (server, proxy) = echo();
    let mut client = dial(proxy.addr());
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let copy = sent.clone();
    let writing = thread::spawn(move || writer.write_all(&copy).unwrap());
    let mut received = vec![0; sent.len()];
    client.read_exact(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "the bytes came back in order");
    let counts = proxy.counts();
    assert_eq!((counts.accepted, counts.open), (1, 1));
    assert_eq!(counts.to_server.passed, 3_000_000);
    until(&proxy, |counts| counts.to_client.passed == 3_000_000);
    drop(client);
    until(&proxy, |counts| counts.open == 0);
    drop(server);
}

#[test]
fn a_half_close_is_passed_on() {
    let (server, proxy) = plain();
    let mut client = dial(proxy.addr());
    let mut accepted = server.accept();
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut request = String::new();
    accepted.read_to_string(&mut request).unwrap();
    assert_eq!(request, "all of it");
    accepted.write_all(b"the answer").unwrap();
    drop(accepted);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "the answer");
    until(&proxy, |counts| counts.open == 0);
}

#[test]
fn a_reset_is_passed_on() {
    let (server, proxy) = plain();
    let mut client = dial(proxy.addr());
    let mut accepted = server.accept();
    client.write_all(b"never read").unwrap();
    until(&proxy, |counts| counts.to_server.passed == 10);
    accepted.peek(&mut [0]).unwrap();
    // Closing with unread data resets.
    drop(accepted);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    until(&proxy, |counts| counts.open == 0);

    let client = dial(proxy.addr());
    accepted = server.accept();
    accepted.write_all(b"never read").unwrap();
    client.peek(&mut [0]).unwrap();
    drop(client);
    assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn delayed_bytes_come_later_and_in_order() {
    const DELAY: Duration = Duration::from_millis(150);
    let (_server, proxy) = echo();
    let mut client = dial(proxy.addr());
    round_trip(&mut client, b"x");
    proxy.set(Direction::ToServer, Flow::Delay(DELAY));
    let begun = Instant::now();
    round_trip(&mut client, b"one way");
    assert!(begun.elapsed() >= DELAY);
    proxy.set(Direction::ToClient, Flow::Delay(DELAY));
    let begun = Instant::now();
    round_trip(&mut client, b"both ways");
    assert!(begun.elapsed() >= DELAY * 2);
    // Latency is no throttle: a hundred delays one after the other would take half a minute.
    let begun = Instant::now();
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || {
        for count in 0..100_u8 {
            writer.write_all(&[count]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    });
    let mut received = [0; 100];
    client.read_exact(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received.into_iter().eq(0..100));
    assert!(begun.elapsed() < DELAY * 100);
}

#[test]
fn held_bytes_wait_and_go_on_in_order() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (server, proxy) = plain();
        let client = dial(proxy.addr());
        let accepted = server.accept();
        let (mut from, mut to) = match direction {
            Direction::ToServer => (client, accepted),
            Direction::ToClient => (accepted, client),
        };
        let lane = |counts: Counts| match direction {
            Direction::ToServer => counts.to_server,
            Direction::ToClient => counts.to_client,
        };
        from.write_all(b"before ").unwrap();
        until(&proxy, |counts| lane(counts).passed == 7);
        proxy.set(direction, Flow::Hold);
        from.write_all(b"while ").unwrap();
        until(&proxy, |counts| lane(counts).waiting == 6);
        from.write_all(b"held").unwrap();
        until(&proxy, |counts| lane(counts).waiting == 10);
        drop(from);
        assert_eq!(available(&to), 7, "{direction:?}");
        proxy.heal();
        let mut all = String::new();
        to.read_to_string(&mut all).unwrap();
        assert_eq!(all, "before while held");
    }
}

#[test]
fn a_held_request_lands_after_its_client_has_gone() {
    let (server, proxy) = plain();
    let mut client = dial(proxy.addr());
    let mut accepted = server.accept();
    proxy.set(Direction::ToServer, Flow::Hold);
    client.write_all(b"late").unwrap();
    until(&proxy, |counts| counts.to_server.waiting == 4);
    drop(client);
    proxy.set(Direction::ToServer, Flow::Pass);
    let mut request = String::new();
    accepted.read_to_string(&mut request).unwrap();
    assert_eq!(request, "late");
}

#[test]
fn dropped_bytes_are_gone_and_so_is_the_connection_when_the_flow_changes() {
    let (server, proxy) = plain();
    let mut torn = dial(proxy.addr());
    let mut torn_accepted = server.accept();
    let mut sound = dial(proxy.addr());
    let mut sound_accepted = server.accept();
    proxy.set(Direction::ToClient, Flow::Drop);
    torn.write_all(b"question").unwrap();
    torn_accepted.read_exact(&mut [0; 8]).unwrap();
    torn_accepted.write_all(b"answer").unwrap();
    until(&proxy, |counts| counts.to_client.swallowed == 6);
    assert_eq!(available(&torn), 0);
    assert_eq!(proxy.counts().open, 2);
    proxy.heal();
    assert_eq!(torn.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(torn_accepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // A connection of which nothing was swallowed is as good as before.
    sound_accepted.write_all(b"answer").unwrap();
    sound.read_exact(&mut [0; 6]).unwrap();
    assert_eq!(proxy.counts().open, 1);
}

#[test]
fn new_connections_obey_the_flows_too() {
    let (_server, proxy) = echo();
    proxy.set(Direction::ToClient, Flow::Hold);
    let mut client = dial(proxy.addr());
    client.write_all(b"hello").unwrap();
    until(&proxy, |counts| counts.to_client.waiting == 5);
    assert_eq!(available(&client), 0);
    proxy.heal();
    client.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_cut_resets_the_old_and_the_new_until_it_is_healed() {
    let (_server, proxy) = echo();
    let mut clients: Vec<TcpStream> = (0..20).map(|_| dial(proxy.addr())).collect();
    for client in &mut clients {
        round_trip(client, b"before");
    }
    proxy.cut();
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    // The kernel completes the handshake by itself.
    let mut refused = dial(proxy.addr());
    assert_eq!(refused.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    until(&proxy, |counts| counts.open == 0);
    proxy.heal();
    round_trip(&mut dial(proxy.addr()), b"after");
}

#[test]
fn connections_are_closed_once() {
    let (_server, proxy) = echo();
    let mut old = dial(proxy.addr());
    round_trip(&mut old, b"before");
    proxy.close_connections();
    assert_eq!(old.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    round_trip(&mut dial(proxy.addr()), b"after");
}

#[test]
fn an_unreachable_server_is_a_reset_and_another_may_take_its_place() {
    let (server, proxy) = echo();
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    proxy.retarget(gone);
    let mut client = dial(proxy.addr());
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.retarget(server.addr);
    round_trip(&mut dial(proxy.addr()), b"hello");
}

#[test]
fn hundreds_of_connections_pass_at_once() {
    let (_server, proxy) = echo();
    let mut clients: Vec<TcpStream> = (0..200).map(|_| dial(proxy.addr())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&(number as u32).to_be_bytes()).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, (number as u32).to_be_bytes());
    }
    assert_eq!(proxy.counts().open, 200);
    drop(clients);
    until(&proxy, |counts| counts.open == 0);
}

#[test]
fn a_filter_gives_diallers_links_of_their_own() {
    let server = Server::start(true);
    let left = Link::new();
    let (asked, diallers) = mpsc::channel();
    let once = Mutex::new(Some(left.clone()));
    let proxy = Proxy::builder(server.addr)
        .with_filter(move |dialler| {
            asked.send(dialler).unwrap();
            once.lock().unwrap().take()
        })
        .start()
        .unwrap();
    let mut first = dial(proxy.addr());
    assert_eq!(diallers.recv_timeout(PATIENCE).unwrap(), first.local_addr().unwrap());
    round_trip(&mut first, b"first");
    let mut second = dial(proxy.addr());
    round_trip(&mut second, b"second");
    left.cut();
    assert_eq!(first.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    round_trip(&mut second, b"second");
    assert_eq!((left.counts().accepted, proxy.counts().accepted), (1, 1));
}

#[test]
fn dropping_the_proxy_ends_everything() {
    let (_server, proxy) = echo();
    let mut client = dial(proxy.addr());
    round_trip(&mut client, b"before");
    let (addr, link) = (proxy.addr(), proxy.link().clone());
    drop(proxy);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let begun = Instant::now();
    while TcpStream::connect(addr).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
    }
    assert_eq!(link.counts().open, 0);
}

/// With `--nocapture` it tells what the relay costs; a bound that a loaded machine keeps.
#[test]
fn the_relay_adds_little() {
    let (server, proxy) = echo();
    let median = |addr: SocketAddr| {
        let mut client = dial(addr);
        let mut took: Vec<Duration> = (0..2_000)
            .map(|_| {
                let begun = Instant::now();
                round_trip(&mut client, b"x");
                begun.elapsed()
            })
            .collect();
        took.sort();
        took[took.len() / 2]
    };
    let (direct, relayed) = (median(server.addr), median(proxy.addr()));
    println!("ping-pong of 1 byte, median: {direct:?} direct, {relayed:?} through the relay");
    assert!(relayed < Duration::from_millis(20), "{direct:?} direct, {relayed:?} relayed");
}

/// A server that accepts on a thread of its own.
struct Server {
    addr: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Server {
    fn start(echoes: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = prepared(stream.unwrap());
                if echoes {
                    thread::spawn(move || echo_all(stream));
                } else if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { addr, accepted }
    }

    fn accept(&self) -> TcpStream {
        self.accepted.recv_timeout(PATIENCE).expect("the connection arrives")
    }
}

fn echo() -> (Server, Proxy) {
    let server = Server::start(true);
    let proxy = Proxy::start(server.addr).unwrap();
    (server, proxy)
}

fn plain() -> (Server, Proxy) {
    let server = Server::start(false);
    let proxy = Proxy::start(server.addr).unwrap();
    (server, proxy)
}

fn echo_all(mut stream: TcpStream) {
    let mut buffer = [0; 64 << 10];
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 || stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn dial(addr: SocketAddr) -> TcpStream {
    prepared(TcpStream::connect(addr).unwrap())
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn round_trip(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, message);
}

/// How many bytes could be read at once, up to a hundred.
fn available(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let seen = stream.peek(&mut [0; 100]);
    stream.set_nonblocking(false).unwrap();
    match seen {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        seen => seen.unwrap(),
    }
}

fn until(proxy: &Proxy, condition: impl Fn(Counts) -> bool) {
    let begun = Instant::now();
    while !condition(proxy.counts()) {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {:?}", proxy.counts());
        thread::sleep(Duration::from_millis(1));
    }
}
