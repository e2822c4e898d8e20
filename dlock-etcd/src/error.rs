//! What an error of the client library means: its kind, and whether the request could have landed.

use dlock_core::{Error, ErrorKind, Landed};
use etcd_client::Error as EtcdError;

/// What a request does to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it can never have landed.
    Read,
    /// It changes something.
    Write,
}

impl Effect {
    pub(crate) fn doubt(self) -> Landed {
        match self {
            Self::Read => Landed::No,
            Self::Write => Landed::Maybe,
        }
    }
}

/// A request that got no answer in time.
pub(crate) fn timed_out(effect: Effect) -> Error {
    Error::new(ErrorKind::Unavailable, "etcd did not answer in time: check the server, or raise the request timeout")
        .with_landed(effect.doubt())
}

/// The one place where errors of the client library are judged.
///
/// Codes and texts are those of etcd's `rpctypes/error.go`, and of tonic for what happens before
/// a server answers. `Lost` stands for a lease that the server does not know.
pub(crate) fn classify(error: EtcdError, effect: Effect) -> Error {
    let (kind, landed, message) = match &error {
        EtcdError::GRpcStatus(status) => {
            judge(status.code() as i32, &format!("{}{}", status.message(), causes(status)), effect)
        }
        EtcdError::LeaseKeepAliveError(text) if text == "lease not found" => {
            (ErrorKind::Lost, Landed::No, "the etcd lease is gone".to_owned())
        }
        EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_) | EtcdError::InvalidMetadataValue(_) => {
            (ErrorKind::InvalidInput, Landed::No, format!("etcd cannot be reached as configured: {error}"))
        }
        EtcdError::EndpointError(_) | EtcdError::EndpointsNotManaged => {
            (ErrorKind::Internal, Landed::No, format!("the etcd client failed: {error}"))
        }
        EtcdError::Utf8Error(_) => (ErrorKind::Protocol, effect.doubt(), format!("etcd answered garbage: {error}")),
        _ => (ErrorKind::Unavailable, effect.doubt(), format!("the connection to etcd failed: {error}")),
    };
    Error::new(kind, message).with_landed(landed).with_source(error)
}

fn causes(status: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = status.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

// gRPC status codes: tonic is not a direct dependency, and the numbers are part of the protocol.
const CANCELLED: i32 = 1;
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const ABORTED: i32 = 10;
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

fn judge(code: i32, text: &str, effect: Effect) -> (ErrorKind, Landed, String) {
    let has = |part: &str| text.contains(part);
    let sure = Landed::No;
    match code {
        NOT_FOUND if has("lease not found") => (ErrorKind::Lost, sure, "the etcd lease is gone".into()),
        PERMISSION_DENIED => (
            ErrorKind::Denied,
            sure,
            "etcd denies permission: grant the user read and write access to the namespace's keys".into(),
        ),
        UNAUTHENTICATED => (ErrorKind::Denied, sure, format!("etcd refuses the login: {text}")),
        INVALID_ARGUMENT if has("authentication failed") || has("user name") => {
            (ErrorKind::Denied, sure, format!("etcd refuses the login, check user and password: {text}"))
        }
        FAILED_PRECONDITION if has("authentication is not enabled") => (
            ErrorKind::Denied,
            sure,
            "etcd has no authentication enabled: remove user and password, or enable it".into(),
        ),
        RESOURCE_EXHAUSTED if has("database space exceeded") => {
            (ErrorKind::Exhausted, sure, "etcd is out of space: compact, defragment and disarm its alarm".into())
        }
        RESOURCE_EXHAUSTED if has("too many requests") => {
            (ErrorKind::Unavailable, sure, "etcd is overloaded: try again later".into())
        }
        RESOURCE_EXHAUSTED if has("etcdserver: ") || has("larger than max") => {
            (ErrorKind::Exhausted, sure, format!("etcd refuses the request: {text}"))
        }
        // Any other is HTTP/2's ENHANCE_YOUR_CALM: the connection was ended under the request.
        RESOURCE_EXHAUSTED => {
            (ErrorKind::Unavailable, effect.doubt(), format!("etcd did not complete the request: {text}"))
        }
        // The peer is no gRPC server, or one without etcd's services.
        UNIMPLEMENTED => (ErrorKind::Protocol, sure, not_etcd(text)),
        _ if has("grpc-status header missing") || has("invalid compression flag") || has("frame with invalid size") => {
            (ErrorKind::Protocol, effect.doubt(), not_etcd(text))
        }
        // Never sent: the connection could not be made, or the member has no leader to ask.
        UNAVAILABLE if has("tcp connect error") || has("error trying to connect") || has("dns error") => {
            (ErrorKind::Unavailable, sure, format!("etcd cannot be reached: {text}"))
        }
        UNAVAILABLE if text.starts_with("etcdserver: no leader") => {
            (ErrorKind::Unavailable, sure, "etcd has no leader: bring up a majority of its members".into())
        }
        UNAVAILABLE | CANCELLED | DEADLINE_EXCEEDED | ABORTED => {
            (ErrorKind::Unavailable, effect.doubt(), format!("etcd did not complete the request: {text}"))
        }
        // Refused before anything was proposed.
        INVALID_ARGUMENT | FAILED_PRECONDITION | NOT_FOUND => {
            (ErrorKind::Internal, sure, format!("etcd refuses the request: {text}"))
        }
        // Unknown, internal and the like: broken connections, for the most part.
        _ => (ErrorKind::Unavailable, effect.doubt(), format!("the request to etcd failed: {text}")),
    }
}

fn not_etcd(text: &str) -> String {
    format!("the peer does not speak etcd's protocol (etcd 3.4 or newer is needed): {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classification_table() {
        use ErrorKind::{Denied, Exhausted, Internal, Lost, Protocol, Unavailable};
        const UNKNOWN: i32 = 2;
        const INTERNAL: i32 = 13;
        for (code, text, kind, landed) in [
            (NOT_FOUND, "etcdserver: requested lease not found", Lost, Landed::No),
            (PERMISSION_DENIED, "etcdserver: permission denied", Denied, Landed::No),
            (UNAUTHENTICATED, "etcdserver: invalid auth token", Denied, Landed::No),
            (INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password", Denied, Landed::No),
            (INVALID_ARGUMENT, "etcdserver: user name is empty", Denied, Landed::No),
            (INVALID_ARGUMENT, "etcdserver: too many operations in txn request", Internal, Landed::No),
            (FAILED_PRECONDITION, "etcdserver: authentication is not enabled", Denied, Landed::No),
            (RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", Exhausted, Landed::No),
            (RESOURCE_EXHAUSTED, "etcdserver: too many requests", Unavailable, Landed::No),
            (RESOURCE_EXHAUSTED, "grpc: received message larger than max (9 vs. 4)", Exhausted, Landed::No),
            (RESOURCE_EXHAUSTED, "h2 protocol error: too_many_pings", Unavailable, Landed::Maybe),
            (UNIMPLEMENTED, "unknown service etcdserverpb.KV", Protocol, Landed::No),
            (UNKNOWN, "grpc-status header missing, mapped from HTTP status code 404", Protocol, Landed::Maybe),
            (UNAVAILABLE, "tcp connect error: Connection refused", Unavailable, Landed::No),
            (UNAVAILABLE, "etcdserver: no leader", Unavailable, Landed::No),
            (UNAVAILABLE, "etcdserver: leader changed", Unavailable, Landed::Maybe),
            (UNAVAILABLE, "etcdserver: request timed out", Unavailable, Landed::Maybe),
            (UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost", Unavailable, Landed::Maybe),
            (UNAVAILABLE, "etcdserver: server stopped", Unavailable, Landed::Maybe),
            (CANCELLED, "operation was canceled", Unavailable, Landed::Maybe),
            (DEADLINE_EXCEEDED, "context deadline exceeded", Unavailable, Landed::Maybe),
            (UNKNOWN, "transport error: broken pipe", Unavailable, Landed::Maybe),
            (INTERNAL, "h2 protocol error: stream closed", Unavailable, Landed::Maybe),
        ] {
            let (is_kind, is_landed, message) = judge(code, text, Effect::Write);
            assert_eq!((is_kind, is_landed), (kind, landed), "{code} {text}");
            assert!(!message.is_empty());
            assert_eq!(judge(code, text, Effect::Read).1, Landed::No, "a read never lands: {text}");
        }
    }

    #[test]
    fn a_timeout_is_doubtful_for_writes_only() {
        assert_eq!(timed_out(Effect::Write).landed(), Landed::Maybe);
        assert_eq!(timed_out(Effect::Read).landed(), Landed::No);
        assert!(timed_out(Effect::Read).is_retryable());
    }

    #[test]
    fn a_lost_lease_is_told_apart() {
        let lost = classify(EtcdError::LeaseKeepAliveError("lease not found".into()), Effect::Write);
        assert_eq!(lost.kind(), ErrorKind::Lost);
        let broken = classify(EtcdError::LeaseKeepAliveError("channel closed".into()), Effect::Write);
        assert_eq!((broken.kind(), broken.landed()), (ErrorKind::Unavailable, Landed::Maybe));
    }
}
