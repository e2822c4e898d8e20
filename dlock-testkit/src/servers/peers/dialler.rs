//! Who is at the other end of a connection within this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::servers::Node;

/// The member whose process dialled from `from` to `to`; `None` for anybody else.
pub(super) fn find(from: SocketAddr, to: SocketAddr, nodes: &[Arc<Node>]) -> Option<usize> {
    let inode = socket_inode(from.port(), to.port())?;
    let socket = format!("socket:[{inode}]");
    nodes.iter().position(|node| node.running_pid().is_some_and(|pid| has_open(pid, &socket)))
}

/// The socket that is bound to loopback port `local` and connected to `remote`.
fn socket_inode(local: u16, remote: u16) -> Option<String> {
    // Some programs use IPv6 sockets for IPv4 addresses.
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| inode_in(line, local, remote).map(str::to_owned))
    })
}

/// The inode in one line of the kernel's table (proc_net(5)), if it is that of this connection.
/// Addresses are in the byte order of the machine, and end alike for IPv4 and IPv6.
fn inode_in(line: &str, local: u16, remote: u16) -> Option<&str> {
    let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is =
        |field: usize, port: u16| fields.get(field)?.ends_with(&format!("{loopback:08X}:{port:04X}")).then_some(());
    is(1, local)?;
    is(2, remote)?;
    // A socket that its process has closed has none.
    fields.get(9).copied().filter(|inode| *inode != "0")
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
        let inode = socket_inode(from.port(), to.port()).expect("the kernel knows the connection");
        assert!(has_open(std::process::id(), &format!("socket:[{inode}]")));
        assert_ne!(socket_inode(to.port(), from.port()), Some(inode), "the accepting end is another socket");
        assert!(!has_open(1, "socket:[0]"));
    }

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let rest = "01 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 20 4 0 10 -1";
        let line = |prefix: &str| format!(" 1: {prefix}0100007F:1F90 {prefix}0100007F:0050 {rest}");
        if cfg!(target_endian = "little") {
            assert_eq!(inode_in(&line(""), 8080, 80), Some("4242"));
            assert_eq!(inode_in(&line("0000000000000000FFFF0000"), 8080, 80), Some("4242"));
            assert_eq!(inode_in(&line(""), 80, 8080), None);
        }
        assert_eq!(inode_in("  sl  local_address rem_address   st tx_queue rx_queue", 8080, 80), None);
    }
}
