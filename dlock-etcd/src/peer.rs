//! Tells a peer that is not there from one that is something else.

use std::time::Duration;

use dlock_core::{Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A local question, after everything else failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// How an HTTP/2 client begins, with a frame of empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The type of the frame that an HTTP/2 server begins with.
const SETTINGS: u8 = 4;

/// The client library reports a peer of another protocol as a broken connection. This asks the
/// peers: if one answers, but not as HTTP/2, the error is `Protocol`; otherwise it is `error`.
pub(crate) async fn speaks_http2_or(error: Error, endpoints: &[String]) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    for endpoint in endpoints {
        if let Ok(Ok(false)) = tokio::time::timeout(PATIENCE, speaks_http2(endpoint)).await {
            let message =
                format!("{endpoint} answers, but not in etcd's protocol: is it another server, or does it expect tls?");
            return Error::new(ErrorKind::Protocol, message).with_source(error);
        }
    }
    error
}

/// Whether the peer's first words are HTTP/2; an error when it says nothing.
async fn speaks_http2(endpoint: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(endpoint).await?;
    stream.write_all(PREFACE).await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head[..1]).await?;
    // Something was said: if no more than that, it was no frame.
    let _ = tokio::time::timeout(PATIENCE / 2, stream.read_exact(&mut head[1..])).await;
    Ok(head[3] == SETTINGS && head[0] == 0)
}
