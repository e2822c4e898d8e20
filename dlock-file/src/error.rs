//! The one place that classifies errors of the operating system.

use std::fmt;
use std::io;

use dlock_core::{Error, ErrorKind};
use rustix::io::Errno;

/// What a failed file operation means to a caller. Whether the request could have landed is added
/// where it is known; most operations undo what they did, so `Landed::No` is the rule.
pub(crate) fn classify(what: impl fmt::Display, error: io::Error) -> Error {
    let (kind, advice) = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) => judge(errno),
        None => (ErrorKind::Unavailable, ""),
    };
    Error::new(kind, format!("{what}: {error}{advice}")).with_source(error)
}

fn judge(errno: Errno) -> (ErrorKind, &'static str) {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            (ErrorKind::Denied, "; give this user read and write permission on the lock directory")
        }
        Errno::ROFS => {
            (ErrorKind::Exhausted, "; the lock directory must be writable: choose one that is not mounted read-only")
        }
        Errno::NOSPC | Errno::DQUOT => (ErrorKind::Exhausted, "; make room on the lock directory's file system"),
        Errno::MFILE => {
            (ErrorKind::Exhausted, "; every claim needs an open file: raise the limit on open files (ulimit -n)")
        }
        Errno::NFILE | Errno::NOMEM | Errno::NOLCK | Errno::MLINK => (ErrorKind::Exhausted, ""),
        Errno::NOTDIR | Errno::ISDIR | Errno::EXIST => {
            (ErrorKind::InvalidInput, "; something else stands where dlock keeps its files: choose another directory")
        }
        Errno::NAMETOOLONG | Errno::LOOP | Errno::INVAL | Errno::OPNOTSUPP => {
            (ErrorKind::InvalidInput, "; choose another lock directory")
        }
        _ => (ErrorKind::Unavailable, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_errors() {
        for (errno, kind, advice) in [
            (Errno::ACCESS, ErrorKind::Denied, "permission"),
            (Errno::PERM, ErrorKind::Denied, "permission"),
            (Errno::ROFS, ErrorKind::Exhausted, "read-only"),
            (Errno::NOSPC, ErrorKind::Exhausted, "make room"),
            (Errno::DQUOT, ErrorKind::Exhausted, "make room"),
            (Errno::MFILE, ErrorKind::Exhausted, "ulimit -n"),
            (Errno::NFILE, ErrorKind::Exhausted, ""),
            (Errno::NOLCK, ErrorKind::Exhausted, ""),
            (Errno::NOTDIR, ErrorKind::InvalidInput, "another directory"),
            (Errno::ISDIR, ErrorKind::InvalidInput, "another directory"),
            (Errno::LOOP, ErrorKind::InvalidInput, "another lock directory"),
            (Errno::IO, ErrorKind::Unavailable, ""),
            (Errno::STALE, ErrorKind::Unavailable, ""),
        ] {
            let error = classify("open x", io::Error::from(errno));
            assert_eq!(error.kind(), kind, "{errno:?}");
            assert!(error.to_string().starts_with("open x: "), "{error}");
            assert!(error.to_string().contains(advice), "{error}");
            assert_eq!(error.landed(), dlock_core::Landed::No);
        }
    }
}
