//! What the statuses of gRPC mean that etcd answers with.
//!
//! Codes and texts are those of etcd's `api/v3rpc/rpctypes/error.go`, of its `v3rpc/util.go` (what
//! is not in that list becomes `Unknown` with the text of the error), and of tonic for what happens
//! before a server answers.

use dlock_core::{ErrorKind, Landed};

use super::{Effect, Remedy};

// gRPC status codes: tonic is not a direct dependency, and the numbers are part of the protocol.
const CANCELLED: i32 = 1;
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const ABORTED: i32 = 10;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;
const DATA_LOSS: i32 = 15;
const UNAUTHENTICATED: i32 = 16;

type Verdict = (ErrorKind, Landed, Remedy, String);

/// The verdict on a status; `text` is its message, followed by its causes.
pub(super) fn judge(code: i32, text: &str, effect: Effect) -> Verdict {
    use ErrorKind::{Exhausted, Internal, InvalidInput, Lost, Unavailable};
    let has = |part: &str| text.contains(part);
    let (sure, doubt) = (Landed::No, effect.doubt());
    if let Some(verdict) = login(code, text).or_else(|| tls(code, text)).or_else(|| stranger(code, text, effect)) {
        return verdict;
    }
    match code {
        NOT_FOUND if has("lease not found") => (Lost, sure, Remedy::Report, "the etcd lease is gone".into()),
        // Before anything is proposed a server refuses what its quota does not allow. But what makes
        // the database full is applied, and then answered with this error (`quotaApplierV3`).
        RESOURCE_EXHAUSTED if has("database space exceeded") => {
            (Exhausted, doubt, Remedy::Report, "etcd is out of space: compact, defragment and disarm its alarm".into())
        }
        // Checked before anything is proposed (`processInternalRaftRequestOnce`): so much is committed
        // that is not applied yet.
        RESOURCE_EXHAUSTED if has("too many requests") => {
            (Unavailable, sure, Remedy::Repeat, "etcd is overloaded: try again later".into())
        }
        // An answer that is too large is noticed after the request was applied.
        RESOURCE_EXHAUSTED if has("trying to send message larger than max") => {
            (Exhausted, doubt, Remedy::Report, format!("etcd cannot send its answer: {text}"))
        }
        OUT_OF_RANGE if has("message length too large") => {
            (Exhausted, doubt, Remedy::Report, format!("the answer of etcd is too long: {text}"))
        }
        RESOURCE_EXHAUSTED if has("etcdserver: ") || has("larger than max") => {
            (Exhausted, sure, Remedy::Report, format!("etcd refuses the request: {text}"))
        }
        // Any other is HTTP/2's ENHANCE_YOUR_CALM: the connection was ended under the request.
        RESOURCE_EXHAUSTED => (Unavailable, doubt, Remedy::NextMember, incomplete(text)),
        // Measured before it is proposed.
        INVALID_ARGUMENT if has("request is too large") => (
            InvalidInput,
            sure,
            Remedy::Report,
            "etcd refuses the request as too large: shorten names and labels, or raise its --max-request-bytes".into(),
        ),
        OUT_OF_RANGE if has("too large lease TTL") => {
            (InvalidInput, sure, Remedy::Report, "etcd refuses the ttl as too long: shorten it".into())
        }
        // What was to be read is not there any more, or not yet: the same again would not find it.
        OUT_OF_RANGE => (Unavailable, sure, Remedy::Report, format!("etcd cannot read at that revision: {text}")),
        // Every member refuses what it would apply, at the same place of the log (`applierV3Corrupt`).
        DATA_LOSS if has("corrupt cluster") => (
            Exhausted,
            sure,
            Remedy::Report,
            "etcd has found its members to differ, and takes no writes: repair it and disarm its alarm".into(),
        ),
        UNAVAILABLE if has("tcp connect error") || has("error trying to connect") || has("dns error") => {
            (Unavailable, sure, Remedy::NextMember, format!("etcd cannot be reached: {text}"))
        }
        // Refused at the door for want of a leader to hand it to (`newUnaryInterceptor`), or while
        // waiting for one to hand a keep-alive to.
        UNAVAILABLE if text.starts_with("etcdserver: no leader") => {
            (Unavailable, sure, Remedy::NextMember, "etcd has no leader: bring up a majority of its members".into())
        }
        // Refused at the door, for what the member is or is not yet.
        UNAVAILABLE if has("not supported for learner") || has("not capable") => {
            (Unavailable, sure, Remedy::NextMember, format!("this member of etcd does not serve requests: {text}"))
        }
        // Only reads and keep-alives wait for this, before they do anything.
        UNAVAILABLE if has("waiting for the applied index") => {
            (Unavailable, sure, Remedy::NextMember, format!("this member of etcd lags behind: {text}"))
        }
        UNAVAILABLE if has("etcdserver: leader changed") => (Unavailable, doubt, Remedy::Repeat, incomplete(text)),
        // Raft drops what it is given while leadership is handed over, and says so before it keeps it.
        _ if has("raft proposal dropped") => (Unavailable, sure, Remedy::Repeat, incomplete(text)),
        // A leader that was deposed, and keeps no lease alive any more.
        _ if has("not a primary lessor") => (Unavailable, sure, Remedy::NextMember, incomplete(text)),
        // That it stopped is said to those too who wait for what they had proposed.
        UNAVAILABLE | CANCELLED | DEADLINE_EXCEEDED | ABORTED => {
            (Unavailable, doubt, Remedy::NextMember, incomplete(text))
        }
        // Refused before anything was proposed.
        INVALID_ARGUMENT | FAILED_PRECONDITION | NOT_FOUND => {
            (Internal, sure, Remedy::Report, format!("etcd refuses the request: {text}"))
        }
        // Unknown, internal and the like: broken connections, for the most part.
        _ => (Unavailable, doubt, Remedy::NextMember, format!("the request to etcd failed: {text}")),
    }
}

/// Whether it is about who asks. All of this is checked before a request is proposed, or, with the
/// rights of that moment, before it is applied (`authApplierV3`): it is then refused as a whole.
fn login(code: i32, text: &str) -> Option<Verdict> {
    let has = |part: &str| text.contains(part);
    let denied = |remedy, message: String| Some((ErrorKind::Denied, Landed::No, remedy, message));
    // Users or roles were changed while the request was under way, or since the token was made. The
    // second text is that of versions that have no status for it.
    if has("revision of auth store is old") || has("auth: revision in header is old") {
        let message = "the users or roles of etcd were just changed: try again".to_owned();
        return Some((ErrorKind::Unavailable, Landed::No, Remedy::LogIn, message));
    }
    match code {
        PERMISSION_DENIED => denied(
            Remedy::Report,
            "etcd denies permission: grant the user read and write access to the namespace's keys".into(),
        ),
        // The token has expired, or its user was changed.
        UNAUTHENTICATED => denied(Remedy::LogIn, format!("etcd refuses the login: {text}")),
        INVALID_ARGUMENT if has("user name is empty") => {
            denied(Remedy::LogIn, format!("etcd wants a login: give user and password ({text})"))
        }
        INVALID_ARGUMENT | FAILED_PRECONDITION if has("authentication failed") || has("user name") => {
            denied(Remedy::Report, format!("etcd refuses the login, check user and password: {text}"))
        }
        FAILED_PRECONDITION if has("authentication is not enabled") => {
            denied(Remedy::Report, "etcd has no authentication enabled: remove user and password, or enable it".into())
        }
        _ => None,
    }
}

/// Whether TLS failed, by the words of rustls. A server that does not get on with a client's
/// certificate serves nothing on the connection.
fn tls(code: i32, text: &str) -> Option<Verdict> {
    let has = |part: &str| text.contains(part);
    if text.starts_with("etcdserver: ") || code == INVALID_ARGUMENT {
        return None;
    }
    let alert = has("received fatal alert");
    // On a connection that was made, a server can still say that it does not take the certificate.
    // Anything else happens there to requests that it may have served: tonic calls it unknown.
    let is_refusal = alert && ["Certificate", "UnknownCA", "AccessDenied"].iter().any(|part| has(part));
    if code != UNAVAILABLE && !is_refusal {
        return None;
    }
    let (kind, advice) = if has("UnknownIssuer") {
        (ErrorKind::Denied, "the server's certificate is of an authority that is not trusted: give its ca-file")
    } else if has("invalid peer certificate") && (has("NotValidForName") || has("not valid for name")) {
        (ErrorKind::Denied, "the server's certificate is for another host: use a host name that it has")
    } else if has("invalid peer certificate") && (has("Expired") || has("expired")) {
        (ErrorKind::Denied, "the server's certificate has expired: renew it")
    } else if has("invalid peer certificate") {
        (ErrorKind::Denied, "the server's certificate is not trusted")
    } else if alert && (has("HandshakeFailure") || has("ProtocolVersion")) {
        (ErrorKind::Protocol, "etcd and this client have no tls version or cipher in common")
    } else if alert {
        (
            ErrorKind::Denied,
            "etcd does not accept this client's certificate: give cert-file and key-file that its --trusted-ca-file \
             has signed",
        )
    } else if has("InvalidContentType") || has("corrupt message") {
        (ErrorKind::Protocol, "the peer does not speak tls: use etcd:// or the server's tls port")
    } else if has("HTTP/2 was not negotiated") {
        (ErrorKind::Protocol, "the peer speaks tls, but not etcd's protocol: is it another server?")
    } else {
        return None;
    };
    Some((kind, Landed::No, Remedy::NextMember, format!("{advice} ({text})")))
}

/// Whether the peer is no gRPC server, or one without etcd's services.
fn stranger(code: i32, text: &str, effect: Effect) -> Option<Verdict> {
    let has = |part: &str| text.contains(part);
    let landed = if code == UNIMPLEMENTED {
        Landed::No
    } else if has("grpc-status header missing") || has("invalid compression flag") || has("frame with invalid size") {
        effect.doubt()
    } else {
        return None;
    };
    let message = format!("the peer does not speak etcd's protocol (etcd 3.4 or newer is needed): {text}");
    Some((ErrorKind::Protocol, landed, Remedy::NextMember, message))
}

fn incomplete(text: &str) -> String {
    format!("etcd did not complete the request: {text}")
}

#[cfg(test)]
mod tests;
