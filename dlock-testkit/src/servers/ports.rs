//! Free ports of the loopback interface.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below this are the ports of well-known services.
const LOWEST: u16 = 10_000;

/// A port that nobody listened on a moment ago.
///
/// It lies below the range from which the kernel gives ports to outgoing connections. Otherwise
/// a client that keeps trying to reach a server which is down will sooner or later be given the
/// server's own port, connect to itself, and keep the server from starting again.
pub(crate) fn free_port() -> u16 {
    let end = ephemeral_range_start().filter(|start| *start > LOWEST + 1_000).unwrap_or(32_768);
    loop {
        let random = RandomState::new().hash_one(0_u8) % u64::from(end - LOWEST);
        let port = LOWEST + u16::try_from(random).expect("a remainder is smaller than its u16 divisor");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn ephemeral_range_start() -> Option<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
