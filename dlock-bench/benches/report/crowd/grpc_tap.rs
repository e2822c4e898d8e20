use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Every client begins a connection with it (RFC 9113, 3.4).
const PREFACE: usize = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;
/// A message comes after a byte of flags and four of its length, in DATA frames cut anywhere.
const MESSAGE_HEADER: usize = 5;

/// Stands between clients and a gRPC server without TLS, and looks how large messages are.
///
/// Lives as long as the runtime.
pub(super) struct GrpcTap {
    pub(super) address: SocketAddr,
    largest: [Arc<AtomicUsize>; 2],
}

impl GrpcTap {
    pub(super) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it listens");
        let largest: [Arc<AtomicUsize>; 2] = Default::default();
        let seen = largest.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server is there");
                client.set_nodelay(true).and(server.set_nodelay(true)).expect("these are TCP");
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let [requests, responses] = seen.clone();
                tokio::spawn(relay(from_client, to_server, Messages::after(PREFACE, requests)));
                tokio::spawn(relay(from_server, to_client, Messages::after(0, responses)));
            }
        });
        Self { address, largest }
    }

    pub(super) fn largest_request(&self) -> usize {
        self.largest[0].load(Ordering::Relaxed)
    }

    pub(super) fn largest_response(&self) -> usize {
        self.largest[1].load(Ordering::Relaxed)
    }
}

async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut messages: Messages) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        messages.pass(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// The messages in one direction of a connection.
struct Messages {
    /// What is not a whole frame yet.
    rest: Vec<u8>,
    skip: usize,
    streams: HashMap<u32, Message>,
    largest: Arc<AtomicUsize>,
}

/// Where a stream is in its message.
#[derive(Default)]
struct Message {
    header: Vec<u8>,
    left: usize,
}

impl Messages {
    fn after(skip: usize, largest: Arc<AtomicUsize>) -> Self {
        Self { rest: Vec::new(), skip, streams: HashMap::new(), largest }
    }

    fn pass(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.rest.extend_from_slice(&bytes[skipped..]);
        let rest = std::mem::take(&mut self.rest);
        let mut frames = rest.as_slice();
        while let Some((header, after)) = frames.split_first_chunk::<FRAME_HEADER>() {
            let [a, b, c, kind, flags, stream @ ..] = *header;
            let Some((payload, next)) = after.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize) else {
                break;
            };
            if kind == DATA {
                assert_eq!(flags & PADDED, 0, "neither side of etcd pads what it sends");
                self.pass_data(u32::from_be_bytes(stream), payload);
            }
            if flags & END_STREAM != 0 {
                self.streams.remove(&u32::from_be_bytes(stream));
            }
            frames = next;
        }
        self.rest = frames.to_vec();
    }

    fn pass_data(&mut self, stream: u32, mut payload: &[u8]) {
        let message = self.streams.entry(stream).or_default();
        while !payload.is_empty() {
            let wanted = if message.left > 0 { message.left } else { MESSAGE_HEADER - message.header.len() };
            let (taken, after) = payload.split_at(wanted.min(payload.len()));
            payload = after;
            if message.left > 0 {
                message.left -= taken.len();
                continue;
            }
            message.header.extend_from_slice(taken);
            if let [_, a, b, c, d] = message.header[..] {
                message.left = u32::from_be_bytes([a, b, c, d]) as usize;
                message.header.clear();
                self.largest.fetch_max(message.left, Ordering::Relaxed);
            }
        }
    }
}
