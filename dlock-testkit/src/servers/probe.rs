//! Just enough of talking to a server to learn whether it serves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long one answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Connects, with a bound on every later read and write.
pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The same, to a socket of this machine.
pub(crate) fn connect_at(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The whole answer to a request after which the server closes the connection.
pub(crate) fn exchange(addr: SocketAddr, request: &str) -> io::Result<String> {
    whole(connect(addr)?, request)
}

/// The whole answer, headers included, to one HTTP request with a JSON body.
pub(crate) fn http(addr: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    exchange(addr, &http_request(&addr.to_string(), method, path, body))
}

/// The same, at a socket of this machine.
pub(crate) fn http_at(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<String> {
    whole(connect_at(socket)?, &http_request("localhost", method, path, body))
}

fn whole(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn http_request(host: &str, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}
