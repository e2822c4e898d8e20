use dlock_core::Landed;

use super::*;

const UNKNOWN: i32 = 2;
const INTERNAL: i32 = 13;

#[test]
fn the_classification_table() {
    use ErrorKind::{Denied, Exhausted, Internal, InvalidInput, Lost, Protocol, Unavailable};
    use Landed::{Maybe, No};
    use Remedy::{LogIn, NextMember, Repeat, Report};
    for (code, text, kind, landed, remedy) in [
        (NOT_FOUND, "etcdserver: requested lease not found", Lost, No, Report),
        (PERMISSION_DENIED, "etcdserver: permission denied", Denied, No, Report),
        (UNAUTHENTICATED, "etcdserver: invalid auth token", Denied, No, LogIn),
        (INVALID_ARGUMENT, "etcdserver: revision of auth store is old", Unavailable, No, LogIn),
        (UNKNOWN, "auth: revision in header is old", Unavailable, No, LogIn),
        (INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password", Denied, No, Report),
        (INVALID_ARGUMENT, "etcdserver: user name is empty", Denied, No, LogIn),
        (FAILED_PRECONDITION, "etcdserver: user name not found", Denied, No, Report),
        (FAILED_PRECONDITION, "etcdserver: authentication is not enabled", Denied, No, Report),
        (INVALID_ARGUMENT, "etcdserver: too many operations in txn request", Internal, No, Report),
        (INVALID_ARGUMENT, "etcdserver: request is too large", InvalidInput, No, Report),
        (OUT_OF_RANGE, "etcdserver: too large lease TTL", InvalidInput, No, Report),
        (OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Unavailable, No, Report),
        (OUT_OF_RANGE, "Error, decoded message length too large: found 9 bytes", Exhausted, Maybe, Report),
        (RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", Exhausted, Maybe, Report),
        (RESOURCE_EXHAUSTED, "etcdserver: too many requests", Unavailable, No, Repeat),
        (RESOURCE_EXHAUSTED, "grpc: received message larger than max (9 vs. 4)", Exhausted, No, Report),
        (RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max (9 vs. 4)", Exhausted, Maybe, Report),
        (RESOURCE_EXHAUSTED, "h2 protocol error: too_many_pings", Unavailable, Maybe, NextMember),
        (DATA_LOSS, "etcdserver: corrupt cluster", Exhausted, No, Report),
        (UNIMPLEMENTED, "unknown service etcdserverpb.KV", Protocol, No, NextMember),
        (UNKNOWN, "grpc-status header missing, mapped from HTTP status code 404", Protocol, Maybe, NextMember),
        (UNAVAILABLE, "tcp connect error: Connection refused", Unavailable, No, NextMember),
        (UNAVAILABLE, "etcdserver: no leader", Unavailable, No, NextMember),
        (UNAVAILABLE, "etcdserver: not capable", Unavailable, No, NextMember),
        (UNAVAILABLE, "etcdserver: rpc not supported for learner", Unavailable, No, NextMember),
        (UNAVAILABLE, "etcdserver: leader changed", Unavailable, Maybe, Repeat),
        (UNAVAILABLE, "etcdserver: request timed out", Unavailable, Maybe, NextMember),
        (
            UNAVAILABLE,
            "etcdserver: request timed out, waiting for the applied index took too long",
            Unavailable,
            No,
            NextMember,
        ),
        (UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost", Unavailable, Maybe, NextMember),
        (UNAVAILABLE, "etcdserver: server stopped", Unavailable, Maybe, NextMember),
        (UNKNOWN, "raft: stopped", Unavailable, Maybe, NextMember),
        (UNKNOWN, "raft proposal dropped", Unavailable, No, Repeat),
        (UNKNOWN, "not a primary lessor", Unavailable, No, NextMember),
        (CANCELLED, "operation was canceled", Unavailable, Maybe, NextMember),
        (DEADLINE_EXCEEDED, "context deadline exceeded", Unavailable, Maybe, NextMember),
        (UNKNOWN, "transport error: broken pipe", Unavailable, Maybe, NextMember),
        (INTERNAL, "h2 protocol error: stream closed", Unavailable, Maybe, NextMember),
        (UNAVAILABLE, "invalid peer certificate: UnknownIssuer", Denied, No, NextMember),
        (UNKNOWN, "transport error: received fatal alert: CertificateRequired", Denied, No, NextMember),
        (UNAVAILABLE, "received corrupt message of type InvalidContentType", Protocol, No, NextMember),
        (
            UNKNOWN,
            "transport error: received corrupt message of type InvalidContentType",
            Unavailable,
            Maybe,
            NextMember,
        ),
        (UNKNOWN, "transport error: received fatal alert: BadRecordMac", Unavailable, Maybe, NextMember),
        (UNAVAILABLE, "HTTP/2 was not negotiated.", Protocol, No, NextMember),
    ] {
        let (is_kind, is_landed, is_remedy, message) = judge(code, text, Effect::Write);
        assert_eq!((is_kind, is_landed, is_remedy), (kind, landed, remedy), "{code} {text}");
        assert!(!message.is_empty());
        for effect in [Effect::Read, Effect::Repeatable] {
            assert_eq!(judge(code, text, effect).1, No, "{effect:?} never lands: {text}");
        }
    }
}
