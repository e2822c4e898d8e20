//! Just enough of talking to servers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::BOUND;

/// The first line of the answer to one command.
pub(crate) fn command(addr: SocketAddr, command: &str) -> io::Result<String> {
    Ok(commands(addr, command)?.lines().next().unwrap_or_default().to_owned())
}

pub(crate) fn commands(addr: SocketAddr, commands: &str) -> io::Result<String> {
    let mut stream = connect(addr)?;
    write!(stream, "{commands}\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

pub(crate) fn http(addr: SocketAddr, path: &str, body: &str) -> String {
    try_http(addr, path, body, BOUND).expect("etcd answers")
}

/// The answer to one request, if it comes within the bound.
pub(crate) fn try_http(addr: SocketAddr, path: &str, body: &str, bound: Duration) -> io::Result<String> {
    let mut stream = connect(addr)?;
    stream.set_read_timeout(Some(bound))?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The whole answer to a request after which the server closes the connection.
pub(crate) fn exchange(addr: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = connect(addr)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, BOUND)?;
    stream.set_read_timeout(Some(BOUND))?;
    Ok(stream)
}

/// Returns when this has become true. A sentinel takes up to half a minute to turn an old primary
/// into a replica.
#[track_caller]
pub(crate) fn eventually(mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + 3 * BOUND;
    while !is_true() {
        assert!(Instant::now() < deadline, "it does not become true");
        thread::sleep(Duration::from_millis(20));
    }
}
