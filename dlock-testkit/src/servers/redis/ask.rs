//! Commands to servers, for what the testkit itself wants to know.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::servers::members::ask_each;
use crate::servers::{Node, probe};

/// The raw answer to one command; `None` where there is none.
pub(super) fn ask(node: &Node, command: &str) -> Option<String> {
    exchange(node.addr(), command).ok()
}

/// The whole answer to these commands.
///
/// The end of the requests is told by closing one direction, since sentinels do not know `QUIT`.
pub(super) fn exchange(addr: SocketAddr, commands: &str) -> io::Result<String> {
    let mut stream = probe::connect(addr)?;
    write!(stream, "{commands}\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    whole(stream)
}

/// The same, through a socket of this machine.
pub(super) fn exchange_at(socket: &Path, commands: &str) -> io::Result<String> {
    let mut stream = probe::connect_at(socket)?;
    write!(stream, "{commands}\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    whole(stream)
}

/// The raw answers of all that run, asked at the same time.
pub(super) fn ask_all(nodes: &[Arc<Node>], command: &str) -> Vec<Option<String>> {
    ask_each(nodes, |node| ask(node, command))
}

/// Whether one line of the answer is this.
pub(super) fn has_line(answer: &Option<String>, line: &str) -> bool {
    answer.as_ref().is_some_and(|answer| answer.lines().any(|other| other == line))
}

fn whole(mut stream: impl Read) -> io::Result<String> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
