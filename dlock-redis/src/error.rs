//! What the client library's errors mean.

#[cfg(feature = "tls")]
mod tls;

use dlock_core::{Error, ErrorKind, Landed};
use redis::{ConnectionAddr, ErrorKind as RedisKind, RedisError, ServerErrorKind};

/// The one place that decides, for an error of a request that was sent, its kind and whether the
/// request could have changed the server.
pub(crate) fn classify(error: RedisError) -> Error {
    let (kind, landed, advice) = meaning(&error);
    let text = if advice.is_empty() { error.to_string() } else { format!("{advice}: {error}") };
    Error::new(kind, text).with_landed(landed).with_source(error)
}

/// The same for an error met while connecting, when no request of ours was sent yet.
pub(crate) fn classify_connecting(error: RedisError) -> Error {
    let refused_login = error.code() == Some("ERR") && error.detail().is_some_and(|text| text.contains("AUTH"));
    let (kind, _, advice) = meaning(&error);
    let (kind, advice) = if refused_login { (ErrorKind::Denied, LOGIN) } else { (kind, advice) };
    let text = if advice.is_empty() { error.to_string() } else { format!("{advice}: {error}") };
    Error::new(kind, text).with_source(error)
}

/// The same error of a first connection, with advice where nothing was heard from a server that is
/// there: one that speaks TLS closes a connection without it, and one that does not waits for more.
pub(crate) fn advise_on_tls(error: Error, addr: &ConnectionAddr) -> Error {
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<RedisError>());
    match addr {
        ConnectionAddr::Tcp(..) if cause.is_some_and(RedisError::is_connection_dropped) => {
            error.context("it closed the connection; if it speaks tls, use rediss://")
        }
        ConnectionAddr::TcpTls { .. } if cause.is_none_or(RedisError::is_timeout) && error.is_retryable() => {
            error.context("it does not answer to tls; if it does not speak it, use redis://")
        }
        _ => error,
    }
}

const LOGIN: &str = "redis refuses the login; check user, password and permissions";
const PERMISSION: &str = "redis denies permission; grant this user the commands, keys and channels that dlock uses";
const NO_ANSWER: &str = "redis does not answer";
const OTHER_SERVER: &str = "the peer does not speak redis's protocol; check host and port";

fn meaning(error: &RedisError) -> (ErrorKind, Landed, &'static str) {
    use ErrorKind::{Denied, Exhausted, Internal, Protocol, Unavailable, Unsupported};
    #[cfg(feature = "tls")]
    if let Some(meaning) = tls::meaning(error) {
        return meaning;
    }
    match error.kind() {
        RedisKind::Io if error.is_connection_refusal() => (Unavailable, Landed::No, NO_ANSWER),
        RedisKind::Io => (Unavailable, Landed::Maybe, NO_ANSWER),
        RedisKind::AuthenticationFailed => (Denied, Landed::No, LOGIN),
        RedisKind::RESP3NotSupported => (Unsupported, Landed::No, "this server is older than redis 7.0; upgrade it"),
        RedisKind::InvalidClientConfig => (ErrorKind::InvalidInput, Landed::No, ""),
        RedisKind::Parse => (Protocol, Landed::Maybe, OTHER_SERVER),
        RedisKind::Server(ServerErrorKind::ResponseError) if error.detail().is_some_and(is_denied_in_script) => {
            (Denied, Landed::Maybe, PERMISSION)
        }
        RedisKind::Server(kind) => of_server(kind),
        // Codes that the library has no kind for; all of them refuse before anything is changed.
        RedisKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => (Denied, Landed::No, LOGIN),
            Some("OOM") => (Exhausted, Landed::No, "redis has reached its maxmemory"),
            Some("MISCONF" | "NOREPLICAS") => (Exhausted, Landed::No, "redis refuses writes"),
            Some("BUSY" | "UNKILLABLE") => (Unavailable, Landed::No, "redis is busy with a script"),
            _ => (Internal, Landed::Maybe, ""),
        },
        _ => (Internal, Landed::Maybe, ""),
    }
}

fn of_server(kind: ServerErrorKind) -> (ErrorKind, Landed, &'static str) {
    use ErrorKind::{Denied, Exhausted, Internal, Unavailable};
    match kind {
        ServerErrorKind::BusyLoading => (Unavailable, Landed::No, "redis is still loading its data"),
        ServerErrorKind::MasterDown => (Unavailable, Landed::No, ""),
        ServerErrorKind::ReadOnly => (Exhausted, Landed::No, "this server is a read-only replica; use its primary"),
        // A script that may not run one of its commands has run those before it.
        ServerErrorKind::NoPerm => (Denied, Landed::Maybe, PERMISSION),
        // Routes repeat these for as long as a request may take.
        ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown => {
            (Unavailable, Landed::No, "the redis cluster does not serve this name at present")
        }
        // A general error can also come from within a script, after its first write.
        _ => (Internal, Landed::Maybe, ""),
    }
}

/// Whether a script ended since its user may not run a command, or not on a key or a channel. Servers
/// say that without a code: Redis 7.0 in the first way, later ones and Valkey in the second.
fn is_denied_in_script(text: &str) -> bool {
    ["The user executing the script can't", "ACL failure in script"].iter().any(|sign| text.contains(sign))
}

/// What a script answered that could not renew a claim.
pub(crate) fn cannot_renew(what: &str) -> Error {
    let kind = if is_denied_in_script(what) { ErrorKind::Denied } else { ErrorKind::Internal };
    Error::new(kind, format!("redis cannot renew a claim: {what}")).with_landed(Landed::Maybe)
}

/// No answer came in time.
pub(crate) fn timed_out(place: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("redis at {place} did not answer in time")).with_landed(Landed::Maybe)
}

/// An answer of a script that is not in its own format.
pub(crate) fn strange_answer(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a script answered out of its format: {what}")).with_landed(Landed::Maybe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_errors() {
        let server = |kind| RedisError::from((RedisKind::Server(kind), "text"));
        let extension = |code: &str| redis::make_extension_error(code.to_owned(), Some("text".to_owned()));
        let script =
            |text: &str| RedisError::from((RedisKind::Server(ServerErrorKind::ResponseError), "text", text.to_owned()));
        let io = |kind| RedisError::from(std::io::Error::new(kind, "text"));
        use std::io::ErrorKind as Io;
        for (error, kind, landed) in [
            (io(Io::ConnectionRefused), ErrorKind::Unavailable, Landed::No),
            (io(Io::ConnectionReset), ErrorKind::Unavailable, Landed::Maybe),
            (io(Io::UnexpectedEof), ErrorKind::Unavailable, Landed::Maybe),
            (io(Io::TimedOut), ErrorKind::Unavailable, Landed::Maybe),
            ((RedisKind::Parse, "text").into(), ErrorKind::Protocol, Landed::Maybe),
            ((RedisKind::AuthenticationFailed, "text").into(), ErrorKind::Denied, Landed::No),
            ((RedisKind::RESP3NotSupported, "text").into(), ErrorKind::Unsupported, Landed::No),
            (server(ServerErrorKind::BusyLoading), ErrorKind::Unavailable, Landed::No),
            (server(ServerErrorKind::MasterDown), ErrorKind::Unavailable, Landed::No),
            (server(ServerErrorKind::ReadOnly), ErrorKind::Exhausted, Landed::No),
            (server(ServerErrorKind::NoPerm), ErrorKind::Denied, Landed::Maybe),
            (server(ServerErrorKind::Moved), ErrorKind::Unavailable, Landed::No),
            (server(ServerErrorKind::Ask), ErrorKind::Unavailable, Landed::No),
            (server(ServerErrorKind::TryAgain), ErrorKind::Unavailable, Landed::No),
            (server(ServerErrorKind::ClusterDown), ErrorKind::Unavailable, Landed::No),
            (server(ServerErrorKind::CrossSlot), ErrorKind::Internal, Landed::Maybe),
            (server(ServerErrorKind::ResponseError), ErrorKind::Internal, Landed::Maybe),
            (script("The user executing the script can't run this command"), ErrorKind::Denied, Landed::Maybe),
            (script("ACL failure in script: No permissions to access a key"), ErrorKind::Denied, Landed::Maybe),
            (script("Wrong number of args calling command from script"), ErrorKind::Internal, Landed::Maybe),
            (extension("NOAUTH"), ErrorKind::Denied, Landed::No),
            (extension("WRONGPASS"), ErrorKind::Denied, Landed::No),
            (extension("OOM"), ErrorKind::Exhausted, Landed::No),
            (extension("MISCONF"), ErrorKind::Exhausted, Landed::No),
            (extension("BUSY"), ErrorKind::Unavailable, Landed::No),
            (extension("WHATEVER"), ErrorKind::Internal, Landed::Maybe),
        ] {
            let shown = error.to_string();
            let error = classify(error);
            assert_eq!((error.kind(), error.landed()), (kind, landed), "{shown}");
            assert!(std::error::Error::source(&error).is_some(), "{shown}");
        }
    }

    #[test]
    fn a_renewal_that_is_denied_says_so() {
        let kind = |text| cannot_renew(text).kind();
        assert_eq!(kind("ERR ACL failure in script: No permissions to access a key"), ErrorKind::Denied);
        assert_eq!(kind("ERR something else"), ErrorKind::Internal);
    }

    #[test]
    fn while_connecting_nothing_has_landed() {
        let error = classify_connecting(RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::No));
    }
}
