//! Just enough of talking to servers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

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

pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, BOUND)?;
    stream.set_read_timeout(Some(BOUND))?;
    Ok(stream)
}
