//! What the client library's errors mean.

use dlock_core::{Error, ErrorKind, Landed};
use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};

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

const LOGIN: &str = "redis refuses the login; check user, password and permissions";
const NO_ANSWER: &str = "redis does not answer";
const OTHER_SERVER: &str = "the peer does not speak redis's protocol; check host and port";

fn meaning(error: &RedisError) -> (ErrorKind, Landed, &'static str) {
    use ErrorKind::{Denied, Exhausted, Internal, Protocol, Unavailable, Unsupported};
    match error.kind() {
        RedisKind::Io if error.is_connection_refusal() => (Unavailable, Landed::No, NO_ANSWER),
        RedisKind::Io => (Unavailable, Landed::Maybe, NO_ANSWER),
        RedisKind::AuthenticationFailed => (Denied, Landed::No, LOGIN),
        RedisKind::RESP3NotSupported => (Unsupported, Landed::No, "this server is older than redis 7.0; upgrade it"),
        RedisKind::InvalidClientConfig => (ErrorKind::InvalidInput, Landed::No, ""),
        RedisKind::Parse => (Protocol, Landed::Maybe, OTHER_SERVER),
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
    use ErrorKind::{Denied, Exhausted, Internal, Unavailable, Unsupported};
    match kind {
        ServerErrorKind::BusyLoading => (Unavailable, Landed::No, "redis is still loading its data"),
        ServerErrorKind::TryAgain | ServerErrorKind::MasterDown => (Unavailable, Landed::No, ""),
        ServerErrorKind::ReadOnly => (Exhausted, Landed::No, "this server is a read-only replica; use its primary"),
        // A script that may not run one of its commands has run those before it.
        ServerErrorKind::NoPerm => (Denied, Landed::Maybe, LOGIN),
        ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot | ServerErrorKind::ClusterDown => {
            (Unsupported, Landed::No, "this server is part of a redis cluster, which is not supported yet")
        }
        // A general error can also come from within a script, after its first write.
        _ => (Internal, Landed::Maybe, ""),
    }
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
            (server(ServerErrorKind::Moved), ErrorKind::Unsupported, Landed::No),
            (server(ServerErrorKind::ResponseError), ErrorKind::Internal, Landed::Maybe),
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
    fn while_connecting_nothing_has_landed() {
        let error = classify_connecting(RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, Landed::No));
    }
}
