//! Tells a peer that is not there from one that is something else.

use std::io;
use std::time::Duration;

use dlock_core::{Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// How a peer answers.
enum Answer {
    Http2,
    Tls,
    Other,
}

/// The client library reports a peer of another protocol as a broken connection. This looks for
/// what TLS said among the causes, and then asks the peers: if one answers, but not as it should,
/// the error says so; otherwise it is `error`.
pub(crate) async fn explain(error: Error, endpoints: &[String], is_encrypted: bool) -> Error {
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    #[cfg(feature = "tls")]
    if let Some((kind, advice)) = tls::found_in(&error) {
        return Error::new(kind, format!("connecting to etcd at {}: {advice}", endpoints.join(","))).with_source(error);
    }
    for endpoint in endpoints {
        let Ok(Ok(answer)) = timeout(PATIENCE, ask(endpoint)).await else { continue };
        let what = match (answer, is_encrypted) {
            (Answer::Http2, false) | (Answer::Tls, true) => continue,
            (Answer::Http2, true) => "does not speak tls: use etcd://, or the server's tls port",
            (Answer::Tls, false) => "speaks tls: use etcds://",
            (Answer::Other, _) => "answers, but not in etcd's protocol: it is another kind of server",
        };
        return Error::new(ErrorKind::Protocol, format!("{endpoint} {what}")).with_source(error);
    }
    error
}

/// An error when the peer says nothing.
async fn ask(endpoint: &str) -> io::Result<Answer> {
    // Servers that expect TLS close a connection that begins without it, some without a word.
    if let Ok(head) = first_words(endpoint, PREFACE).await {
        let is_http2 = head[3] == SETTINGS && head[0] == 0;
        return Ok(match is_http2 {
            true => Answer::Http2,
            false if head.starts_with(ALERT) => Answer::Tls,
            false => Answer::Other,
        });
    }
    let head = first_words(endpoint, HELLO_REQUEST).await?;
    Ok(if head.starts_with(ALERT) { Answer::Tls } else { Answer::Other })
}

async fn first_words(endpoint: &str, question: &[u8]) -> io::Result<[u8; 5]> {
    let mut stream = TcpStream::connect(endpoint).await?;
    stream.write_all(question).await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head[..1]).await?;
    // Something was said: if no more than that, it was no frame.
    let _ = timeout(PATIENCE / 2, stream.read_exact(&mut head[1..])).await;
    Ok(head)
}

#[cfg(feature = "tls")]
mod tls {
    use std::error::Error as _;

    use dlock_core::address::TlsTrouble;
    use dlock_core::{Error, ErrorKind};
    use etcd_client::Error as EtcdError;

    /// What kind of error it is that TLS failed, and what to do.
    pub(super) fn found_in(error: &Error) -> Option<(ErrorKind, &'static str)> {
        // The client library's error does not name its cause.
        let EtcdError::GRpcStatus(status) = error.source()?.downcast_ref()? else { return None };
        let trouble = TlsTrouble::of(status)?;
        let advice = match trouble {
            TlsTrouble::Server(advice) => advice,
            TlsTrouble::Client => {
                "it does not accept this client's certificate: give cert-file and key-file that its \
                 --trusted-ca-file has signed"
            }
            TlsTrouble::NothingInCommon => "it speaks tls, but no version, cipher or protocol that etcd has",
            TlsTrouble::Plain => "it does not speak tls: use etcd://, or the server's tls port",
            TlsTrouble::Broken => return None,
        };
        Some((trouble.meaning().0, advice))
    }
}
