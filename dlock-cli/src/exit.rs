//! How `dlock` ends.

use std::process::{ExitCode, ExitStatus};

use dlock::ErrorKind;
use rustix::process::Signal;

/// What the caller is told by the exit code.
///
/// A job's own code is passed on, so the codes for what `dlock` itself has to say keep out of the
/// way of those that programs commonly use: they are those of `sysexits.h`, and the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done,
    /// What was to be proved was not.
    #[cfg(feature = "conformance")]
    Disproved,
    /// The job ended with this code.
    Job(u8),
    /// The job, or the wait for the lock, was ended by a signal: 128 and its number.
    Signal(u8),
    /// The command line, a name, a URL or a setting cannot be used: `EX_USAGE`.
    Usage,
    /// The lock service did not answer, or refused: `EX_UNAVAILABLE`.
    Service,
    /// A defect, or this machine is out of something: `EX_SOFTWARE`.
    Internal,
    /// Others hold the lock: `EX_TEMPFAIL`, try again later.
    NotAcquired,
    /// The lock was lost while the job ran. The first number after those of `sysexits.h`.
    Lost,
    /// The command cannot be executed, as shells say it.
    NotExecutable,
    /// The command was not found, as shells say it.
    NotFound,
}

/// Why `dlock` could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl Exit {
    pub(crate) fn of_job(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Job(low_byte(code)),
            (None, Some(signal)) => Self::Signal(low_byte(signal)),
            (None, None) => Self::Internal,
        }
    }

    pub(crate) fn by_signal(signal: Signal) -> Self {
        Self::Signal(low_byte(signal.as_raw()))
    }

    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            #[cfg(feature = "conformance")]
            Self::Disproved => 1,
            Self::Job(code) => code,
            Self::Signal(signal) => signal | 128,
            Self::Usage => 64,
            Self::Service => 69,
            Self::Internal => 70,
            Self::NotAcquired => 75,
            Self::Lost => 79,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<dlock::Error> for Failure {
    fn from(error: dlock::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::Mismatch => Exit::Usage,
            ErrorKind::Lost => Exit::Lost,
            ErrorKind::Internal => Exit::Internal,
            _ => Exit::Service,
        };
        Self::new(exit, error.to_string())
    }
}

fn low_byte(number: i32) -> u8 {
    number.to_le_bytes()[0]
}
