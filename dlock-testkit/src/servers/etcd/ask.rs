//! What the testkit itself asks a server, in the clear and from anywhere on this machine.

use std::io;
use std::path::Path;

use crate::servers::probe;

/// The socket at which a server is asked. Its name is made of a host and a port, of which etcd 3.4
/// makes a file in the working directory; nobody but the server in this directory listens there.
pub(super) const SOCKET: &str = "ask:0";

/// The body of the answer that a server in `dir` gives to one HTTP request with a JSON body.
pub(super) fn ask(dir: &Path, method: &str, path: &str, body: &str) -> io::Result<String> {
    let answer = probe::http_at(&dir.join(SOCKET), method, path, body)?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
