//! Who is at the other end of a connection within this machine.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::servers::Node;

/// Finds the members that dialled.
#[derive(Debug)]
pub(super) struct Diallers {
    nodes: Arc<[Arc<Node>]>,
    /// By the address from which it dials, where each member has one of its own.
    sources: Option<HashMap<IpAddr, usize>>,
    last: Mutex<Option<Snapshot>>,
}

/// What members have dialled, at one moment. The kernel takes milliseconds to print all connections of
/// this machine, so all who ask at the same time share one.
#[derive(Debug)]
struct Snapshot {
    begun: Instant,
    /// The member by the two ends of a connection, its own first.
    members: HashMap<(String, String), usize>,
}

impl Diallers {
    pub(super) fn new(nodes: Arc<[Arc<Node>]>) -> Self {
        let sources = nodes.iter().enumerate().map(|(member, node)| Some((node.source()?, member))).collect();
        Self { nodes, sources, last: Mutex::new(None) }
    }

    /// As [`Diallers::find`], where the address tells; `None` where the kernel must be asked.
    pub(super) fn find_by_address(&self, from: SocketAddr) -> Option<Option<usize>> {
        self.sources.as_ref().map(|sources| sources.get(&from.ip()).copied())
    }

    /// The member whose process dialled from `from` to `to`, a connection that was accepted before
    /// `accepted`; `None` for anybody else.
    pub(super) fn find(&self, from: SocketAddr, to: SocketAddr, accepted: Instant) -> Option<usize> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = match last.take().filter(|snapshot| snapshot.begun >= accepted) {
            Some(snapshot) => last.insert(snapshot),
            None => last.insert(Snapshot::take(&self.nodes)),
        };
        snapshot.members.get(&(in_table(from)?, in_table(to)?)).copied()
    }
}

impl Snapshot {
    fn take(nodes: &[Arc<Node>]) -> Self {
        let begun = Instant::now();
        let sockets = nodes.iter().enumerate().filter_map(|(member, node)| Some((member, node.running_pid()?)));
        let sockets = sockets.flat_map(|(member, pid)| sockets_of(pid).into_iter().map(move |inode| (inode, member)));
        let sockets: HashMap<String, usize> = sockets.collect();
        let member = |line| {
            let (ends, inode) = connection_in(line)?;
            Some((ends, *sockets.get(inode)?))
        };
        Self { begun, members: tables().lines().filter_map(member).collect() }
    }
}

/// Some programs use IPv6 sockets for IPv4 addresses.
fn tables() -> String {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default()).concat()
}

/// The ends of the connection in one line of the kernel's table, the local one first, and the inode of
/// its socket (proc_net(5)). Most lines of a busy machine are of connections that have ended: they are
/// not read to their end.
fn connection_in(line: &str) -> Option<((String, String), &str)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if state == TIME_WAIT {
        return None;
    }
    // A socket that its process has closed has none.
    let inode = fields.nth(5).filter(|inode| *inode != "0")?;
    Some(((tail(local)?, tail(remote)?), inode))
}

const TIME_WAIT: &str = "06";

/// Addresses are in the byte order of the machine, and end alike in the tables for IPv4 and IPv6.
fn in_table(addr: SocketAddr) -> Option<String> {
    let SocketAddr::V4(addr) = addr else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(addr.ip().octets()), addr.port()))
}

/// What an address ends with.
fn tail(field: &str) -> Option<String> {
    Some(field.get(field.len().checked_sub("0100007F:1F90".len())?..)?.to_owned())
}

/// The inodes of the sockets that a process has open.
fn sockets_of(pid: u32) -> Vec<String> {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let inode = |file: fs::DirEntry| {
        let target = fs::read_link(file.path()).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    files.flatten().filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The inode of the socket that is bound to `local` and connected to `remote`.
    fn inode(tables: &str, local: SocketAddr, remote: SocketAddr) -> Option<&str> {
        let wanted = (in_table(local)?, in_table(remote)?);
        tables.lines().filter_map(connection_in).find_map(|(ends, inode)| (ends == wanted).then_some(inode))
    }

    #[test]
    fn the_dialling_end_of_a_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (dialled.local_addr().unwrap(), dialled.peer_addr().unwrap());
        let tables = tables();
        let found = inode(&tables, from, to).expect("the kernel knows the connection");
        assert!(sockets_of(std::process::id()).iter().any(|socket| socket == found));
        assert_ne!(inode(&tables, to, from), Some(found), "the accepting end is another socket");
    }

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let rest = "00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 20 4 0 10 -1";
        let line = |prefix: &str, state| format!(" 1: {prefix}0100007F:1F90 {prefix}0100007F:0050 {state} {rest}");
        let addr = |ip: [u8; 4], port: u16| SocketAddr::from((ip, port));
        let (local, remote) = (addr([127, 0, 0, 1], 8080), addr([127, 0, 0, 1], 80));
        if cfg!(target_endian = "little") {
            for prefix in ["", "0000000000000000FFFF0000"] {
                assert_eq!(inode(&line(prefix, "01"), local, remote), Some("4242"));
                assert_eq!(inode(&line(prefix, "06"), local, remote), None, "it has ended");
            }
            assert_eq!(inode(&line("", "01"), remote, local), None);
            assert_eq!(inode(&line("", "01"), addr([127, 0, 0, 2], 8080), remote), None);
        }
        assert_eq!(connection_in("  sl  local_address rem_address   st tx_queue rx_queue"), None);
    }
}
