//! A relay that tells clients of other addresses than the server does.
//!
//! Servers that form one service tell clients where the others are: a sentinel names the primary, a
//! node of a Redis Cluster sends a client on. A worker that followed would leave its own relays, and
//! what the lab does to its lines would do nothing. So what servers say of each other is translated
//! on its way, in place: the ports have five digits here as there, and nothing else changes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// As much as is read at once.
const BUFFER: usize = 16 * 1024;

/// A relay to one server.
#[derive(Debug)]
pub(super) struct Translator {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Translator {
    /// Relays to `server` on the current runtime.
    pub(super) fn start(server: SocketAddr, dictionary: Arc<Dictionary>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, dictionary.clone()));
            }
        });
        Ok(Self { addr, task })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is said for what.
#[derive(Debug)]
pub(super) struct Dictionary(Vec<(Vec<u8>, Vec<u8>)>);

impl Dictionary {
    /// Says an address of `relays` for the one at the same place of `announced`.
    pub(super) fn new(announced: &[SocketAddr], relays: &[SocketAddr]) -> io::Result<Self> {
        let mut words = Vec::new();
        for (announced, relay) in announced.iter().zip(relays) {
            if announced.ip() != relay.ip() || announced.port().min(relay.port()) < 10_000 {
                return Err(io::Error::other(format!("{relay} has not as many digits as {announced}")));
            }
            words.extend(forms(*announced).into_iter().zip(forms(*relay)));
        }
        Ok(Self(words))
    }

    /// Translates `text` in place. Answers how much of it can be passed on: the rest may be the
    /// beginning of a word.
    fn translate(&self, text: &mut [u8]) -> usize {
        let mut at = 0;
        while at < text.len() {
            let rest = &mut text[at..];
            if let Some((from, to)) = self.0.iter().find(|(from, _)| rest.starts_with(from)) {
                rest[..from.len()].copy_from_slice(to);
                at += from.len();
            } else if self.0.iter().any(|(from, _)| from.starts_with(rest)) {
                return at;
            } else {
                at += 1;
            }
        }
        at
    }
}

/// How Redis writes an address (redis.io/docs/reference/protocol-spec): in one word, as in a
/// redirection; in two, as sentinels do in messages; or the port for itself, as a string or a number.
/// No answer ends in the middle of one of these.
fn forms(addr: SocketAddr) -> [Vec<u8>; 4] {
    let (ip, port) = (addr.ip(), addr.port());
    [format!("{ip}:{port}"), format!("{ip} {port}"), format!("$5\r\n{port}\r\n"), format!(":{port}\r\n")]
        .map(String::into_bytes)
}

async fn relay(client: TcpStream, server: SocketAddr, dictionary: Arc<Dictionary>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let answers = async {
        let mut text = Vec::with_capacity(BUFFER);
        while from_server.read_buf(&mut text).await? > 0 {
            let ready = dictionary.translate(&mut text);
            to_client.write_all(&text[..ready]).await?;
            text.drain(..ready);
        }
        to_client.write_all(&text).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(requests, answers).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn dictionary() -> Dictionary {
        Dictionary::new(&[addr(20_001), addr(20_002)], &[addr(30_001), addr(30_002)]).unwrap()
    }

    /// What comes out when it arrives in these pieces.
    fn translated<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let dictionary = dictionary();
        let (mut text, mut out) = (Vec::new(), Vec::new());
        for piece in pieces {
            text.extend_from_slice(piece);
            let ready = dictionary.translate(&mut text);
            out.extend(text.drain(..ready));
        }
        assert!(text.is_empty(), "{text:?} was kept");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_are_translated_wherever_they_are_cut() {
        let said = "-MOVED 3999 127.0.0.1:20001\r\n*2\r\n$9\r\n127.0.0.1\r\n$5\r\n20002\r\n:20001\r\n\
                    $41\r\ndlock 127.0.0.1 20001 127.0.0.1 20002 20001\r\n";
        let heard = "-MOVED 3999 127.0.0.1:30001\r\n*2\r\n$9\r\n127.0.0.1\r\n$5\r\n30002\r\n:30001\r\n\
                     $41\r\ndlock 127.0.0.1 30001 127.0.0.1 30002 20001\r\n";
        for cut in 0..said.len() {
            let (one, other) = said.as_bytes().split_at(cut);
            assert_eq!(translated([one, other]), heard, "cut at {cut}");
        }
        assert_eq!(translated(said.as_bytes().chunks(1)), heard);
    }

    #[test]
    fn nothing_else_is_changed_or_kept() {
        let said = "*3\r\n$5\r\n20003\r\n$6\r\n200010\r\n:200010\r\n+OK\r\n$5\r\nhello\r\n";
        assert_eq!(translated([said.as_bytes()]), said);
    }

    #[test]
    fn addresses_of_other_lengths_are_refused() {
        Dictionary::new(&[addr(20_001)], &[addr(9_999)]).unwrap_err();
    }

    #[tokio::test]
    async fn a_relay_carries_both_ways_until_both_ends_are_done() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = Translator::start(server.local_addr().unwrap(), Arc::new(dictionary())).unwrap();
        let mut client = TcpStream::connect(relay.addr()).await.unwrap();
        client.write_all(b"where 127.0.0.1:20001?").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        let mut asked = String::new();
        served.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "where 127.0.0.1:20001?", "only what servers say is translated");
        served.write_all(b":20002\r\n").await.unwrap();
        drop(served);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, ":30002\r\n");
    }
}
