//! Why a history cannot be judged.

use std::path::PathBuf;
use std::{error, fmt, io};

/// A history that cannot be read, or that contradicts itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The directory or a file in it cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in the directory that a recorder wrote.
    Empty {
        /// The directory.
        dir: PathBuf,
    },
    /// A line is no event, and was not merely cut off by the end of its process.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why not.
        source: serde_json::Error,
    },
    /// The last line of a process that lived on has no end: somebody else cut the file.
    CutOff {
        /// The file.
        path: PathBuf,
    },
    /// The times of a file run backwards.
    Disorder {
        /// The file.
        path: PathBuf,
        /// The line that is earlier than the one before it, from 1.
        line: usize,
    },
    /// Events contradict each other.
    Contradiction {
        /// When.
        at: u64,
        /// Who wrote the event.
        process: String,
        /// What is wrong with it.
        message: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Empty { dir } => {
                write!(f, "no history in {}: name the directory that a run recorded into", dir.display())
            }
            Self::Line { path, line, source } => {
                write!(f, "line {line} of {} is no event of a history: {source}", path.display())
            }
            Self::CutOff { path } => write!(
                f,
                "{} ends within a line, though its process was not killed: record the run again",
                path.display()
            ),
            Self::Disorder { path, line } => write!(
                f,
                "line {line} of {} is earlier than the one before it: one recorder writes one file",
                path.display()
            ),
            Self::Contradiction { at, process, message } => {
                write!(f, "the history contradicts itself: at {at} ns {process} says that {message}")
            }
        }
    }
}

impl error::Error for ReadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Line { source, .. } => Some(source),
            Self::Empty { .. } | Self::CutOff { .. } | Self::Disorder { .. } | Self::Contradiction { .. } => None,
        }
    }
}
