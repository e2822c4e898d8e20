//! Just enough of talking to a server to learn whether it serves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
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

/// The whole answer to a request after which the server closes the connection.
pub(crate) fn exchange(addr: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = connect(addr)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The whole answer, headers included, to one HTTP request with a JSON body.
pub(crate) fn http(addr: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    let length = body.len();
    exchange(
        addr,
        &format!(
            "{method} {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}
