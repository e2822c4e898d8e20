//! Tells a peer that is not there from one that is something else, or does not trust this client.

#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::time::Duration;

use dlock_core::address::TlsFiles;
use dlock_core::{Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A local question, after everything else failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// How an HTTP/2 client begins, with a frame of empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The type of the frame that an HTTP/2 server begins with.
const SETTINGS: u8 = 4;

/// A TLS record with a message that only servers send (RFC 5246, 7.4.1.1): a server of any version
/// answers with an alert.
const HELLO_REQUEST: &[u8] = b"\x16\x03\x01\0\x04\0\0\0\0";

/// How records with an alert begin, whatever their minor version.
const ALERT: &[u8] = b"\x15\x03";

#[cfg(feature = "tls")]
const PLAIN: &str = "it does not speak tls: use etcd://, or the server's tls port";
const OTHER: &str = "it answers, but not in etcd's protocol: it is another kind of server";

/// The client library reports a peer of another protocol as a broken connection. This asks the
/// peers: if one answers, but not as it should, the error says so; otherwise it is `error`.
pub(crate) async fn explain(error: Error, endpoints: &[String], tls: Option<&TlsFiles>) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    for endpoint in endpoints {
        let trouble = match tls {
            None => trouble_in_plain(endpoint).await,
            Some(files) => trouble_over_tls(endpoint, files).await,
        };
        if let Some((kind, what)) = trouble {
            return Error::new(kind, format!("connecting to etcd at {endpoint}: {what}")).with_source(error);
        }
    }
    error
}

async fn trouble_in_plain(endpoint: &str) -> Option<(ErrorKind, &'static str)> {
    let head = match timeout(PATIENCE, ask(endpoint, PREFACE)).await {
        Ok(Ok(head)) => head,
        // Servers that expect TLS close a connection that begins without it, some without a word.
        _ => timeout(PATIENCE, ask(endpoint, HELLO_REQUEST)).await.ok()?.ok()?,
    };
    match head {
        head if is_http2(head) => None,
        head if head.starts_with(ALERT) => Some((ErrorKind::Protocol, "it speaks tls: use etcds://")),
        _ => Some((ErrorKind::Protocol, OTHER)),
    }
}

#[cfg(not(feature = "tls"))]
async fn trouble_over_tls(_: &str, _: &TlsFiles) -> Option<(ErrorKind, &'static str)> {
    None
}

#[cfg(feature = "tls")]
async fn trouble_over_tls(endpoint: &str, files: &TlsFiles) -> Option<(ErrorKind, &'static str)> {
    match timeout(4 * PATIENCE, tls::ask(endpoint, files)).await.ok()? {
        Ok(head) if is_http2(head) => None,
        Ok(_) => Some((ErrorKind::Protocol, OTHER)),
        Err(error) => match dlock_core::address::TlsTrouble::of(&error) {
            Some(trouble) => Some((trouble.meaning().0, tls::advice(trouble))),
            // Some servers that expect plain requests close a connection that begins with TLS.
            None => {
                let head = timeout(PATIENCE, ask(endpoint, PREFACE)).await.ok()?.ok()?;
                is_http2(head).then_some((ErrorKind::Protocol, PLAIN))
            }
        },
    }
}

fn is_http2(head: [u8; 5]) -> bool {
    head[3] == SETTINGS && head[0] == 0
}

async fn ask(endpoint: &str, question: &[u8]) -> io::Result<[u8; 5]> {
    first_words(TcpStream::connect(endpoint).await?, question).await
}

/// An error when the peer says nothing.
async fn first_words(mut peer: impl AsyncRead + AsyncWrite + Unpin, question: &[u8]) -> io::Result<[u8; 5]> {
    peer.write_all(question).await?;
    peer.flush().await?;
    let mut head = [0; 5];
    peer.read_exact(&mut head[..1]).await?;
    // Something was said: if no more than that, it was no frame.
    let _ = timeout(PATIENCE / 2, peer.read_exact(&mut head[1..])).await;
    Ok(head)
}
