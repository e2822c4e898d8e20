//! Who is at the other end of a connection within this machine.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::servers::Node;

/// Finds the members that dialled.
#[derive(Debug)]
pub(super) struct Diallers {
    nodes: Arc<[Arc<Node>]>,
    last: Mutex<Option<Snapshot>>,
}

/// All connections of this machine at one moment. The kernel takes milliseconds to print them, so
/// all who ask at the same time share one.
#[derive(Debug)]
struct Snapshot {
    begun: Instant,
    tables: String,
    /// Which member has which socket open.
    sockets: HashMap<String, usize>,
}

impl Diallers {
    pub(super) fn new(nodes: Arc<[Arc<Node>]>) -> Self {
        Self { nodes, last: Mutex::new(None) }
    }

    /// The member whose process dialled from `from` to `to`, a connection that was accepted before
    /// `accepted`; `None` for anybody else.
    pub(super) fn find(&self, from: SocketAddr, to: SocketAddr, accepted: Instant) -> Option<usize> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = match last.take().filter(|snapshot| snapshot.begun >= accepted) {
            Some(snapshot) => last.insert(snapshot),
            None => last.insert(Snapshot::take(&self.nodes)),
        };
        snapshot.sockets.get(socket_inode(&snapshot.tables, from, to)?).copied()
    }
}

impl Snapshot {
    fn take(nodes: &[Arc<Node>]) -> Self {
        let begun = Instant::now();
        let tables = tables();
        let sockets = nodes.iter().enumerate().filter_map(|(member, node)| Some((member, node.running_pid()?)));
        let sockets = sockets.flat_map(|(member, pid)| sockets_of(pid).into_iter().map(move |inode| (inode, member)));
        Self { begun, tables, sockets: sockets.collect() }
    }
}

/// Some programs use IPv6 sockets for IPv4 addresses.
fn tables() -> String {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default()).concat()
}

/// The socket that is bound to `local` and connected to `remote`.
fn socket_inode(tables: &str, local: SocketAddr, remote: SocketAddr) -> Option<&str> {
    tables.lines().find_map(|line| inode_in(line, local, remote))
}

/// The inode in one line of the kernel's table (proc_net(5)), if it is that of this connection.
fn inode_in(line: &str, local: SocketAddr, remote: SocketAddr) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is = |field: usize, addr| fields.get(field)?.ends_with(&in_table(addr)?).then_some(());
    is(1, local)?;
    is(2, remote)?;
    // A socket that its process has closed has none.
    fields.get(9).copied().filter(|inode| *inode != "0")
}

/// Addresses are in the byte order of the machine, and end alike in the tables for IPv4 and IPv6.
fn in_table(addr: SocketAddr) -> Option<String> {
    let SocketAddr::V4(addr) = addr else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(addr.ip().octets()), addr.port()))
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

    #[test]
    fn the_dialling_end_of_a_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (dialled.local_addr().unwrap(), dialled.peer_addr().unwrap());
        let tables = tables();
        let inode = socket_inode(&tables, from, to).expect("the kernel knows the connection");
        assert!(sockets_of(std::process::id()).iter().any(|socket| socket == inode));
        assert_ne!(socket_inode(&tables, to, from), Some(inode), "the accepting end is another socket");
    }

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let rest = "01 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 20 4 0 10 -1";
        let line = |prefix: &str| format!(" 1: {prefix}0100007F:1F90 {prefix}0100007F:0050 {rest}");
        let addr = |ip: [u8; 4], port: u16| SocketAddr::from((ip, port));
        let (local, remote) = (addr([127, 0, 0, 1], 8080), addr([127, 0, 0, 1], 80));
        if cfg!(target_endian = "little") {
            assert_eq!(inode_in(&line(""), local, remote), Some("4242"));
            assert_eq!(inode_in(&line("0000000000000000FFFF0000"), local, remote), Some("4242"));
            assert_eq!(inode_in(&line(""), remote, local), None);
            assert_eq!(inode_in(&line(""), addr([127, 0, 0, 2], 8080), remote), None);
        }
        assert_eq!(inode_in("  sl  local_address rem_address   st tx_queue rx_queue", local, remote), None);
    }
}
