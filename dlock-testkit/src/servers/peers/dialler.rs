//! Who is at the other end of a connection within this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::servers::Node;

/// The member whose process dialled from `from` to `to`; `None` for anybody else.
pub(super) fn find(from: SocketAddr, to: SocketAddr, nodes: &[Arc<Node>]) -> Option<usize> {
    let inode = socket_inode(from, to)?;
    let socket = format!("socket:[{inode}]");
    nodes.iter().position(|node| node.running_pid().is_some_and(|pid| has_open(pid, &socket)))
}

/// The socket that is bound to `local` and connected to `remote`.
fn socket_inode(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    // Some programs use IPv6 sockets for IPv4 addresses.
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| inode_in(line, local, remote).map(str::to_owned))
    })
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

fn has_open(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(socket)))
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
        let inode = socket_inode(from, to).expect("the kernel knows the connection");
        assert!(has_open(std::process::id(), &format!("socket:[{inode}]")));
        assert_ne!(socket_inode(to, from), Some(inode), "the accepting end is another socket");
        assert!(!has_open(1, "socket:[0]"));
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
