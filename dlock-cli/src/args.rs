//! The command line.

mod duration;
mod help;

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Run a job under a distributed lock.
#[derive(Debug, clap::Parser)]
#[command(name = "dlock", version, after_help = help::EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Show(ShowArgs),
    Conformance(ConformanceArgs),
}

/// Run a command while holding a lock.
///
/// Waits in line until NAME is held, runs COMMAND, and releases NAME when COMMAND has ended.
#[derive(Debug, clap::Args)]
#[command(after_help = help::RUN_EXAMPLES, after_long_help = help::RUN)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) backend: BackendArgs,

    /// Give up when the lock was not had after this time (0: do not wait)
    #[arg(long, value_name = "DURATION", value_parser = duration::any, allow_hyphen_values = true)]
    wait: Option<Duration>,

    /// Do not wait: give up at once when the lock is held
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,

    /// How long the service keeps the lock when this machine dies or is cut off [default: 30s]
    ///
    /// It is renewed every third of this time. The file backend needs none: its locks end with
    /// the processes that hold them.
    #[arg(long, value_name = "DURATION", value_parser = duration::longer_than_zero, allow_hyphen_values = true)]
    pub(crate) ttl: Option<Duration>,

    /// Hold the lock together with others that hold it --shared
    #[arg(long, conflicts_with = "permits")]
    pub(crate) shared: bool,

    /// Hold one of N permits; all who use NAME must say the same N
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) permits: Option<NonZeroU32>,

    /// Who this is, for those who look at the lock [default: what the URL says, or the command's name]
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,

    /// What to lock: any text, with / for a hierarchy
    pub(crate) name: String,

    /// The command to run and its arguments; no shell is involved
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Show who holds a lock and who waits for it.
#[derive(Debug, clap::Args)]
#[command(after_help = help::SHOW)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) backend: BackendArgs,

    /// The lock's name
    pub(crate) name: String,
}

/// Prove a lock service: try on it everything that dlock promises.
///
/// Runs dlock's conformance suite against the service that the URL names. Cases work in namespaces
/// of their own, beside whatever is kept there, and leave nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = help::CONFORMANCE_EXAMPLES, after_long_help = help::CONFORMANCE)]
pub(crate) struct ConformanceArgs {
    #[command(flatten)]
    pub(crate) backend: BackendArgs,

    /// Only cases with one of these texts in their names
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// Only the cases that have exactly these names
    #[arg(long, requires = "filters")]
    pub(crate) exact: bool,

    /// List the cases, and try none
    #[arg(long, conflicts_with_all = ["junit", "jobs"])]
    pub(crate) list: bool,

    /// Write the outcome to FILE as well, in the XML of JUnit
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// How many cases run at the same time [default: 12]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// What the namespaces of the cases begin with [default: t-]
    ///
    /// For users of the service who may write only to some.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) namespace_prefix: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackendArgs {
    /// Where the locks are kept [default: on this machine, see --help]
    #[arg(long, value_name = "URL", env = "DLOCK_BACKEND", hide_env_values = true)]
    pub(crate) backend: Option<String>,
}

impl BackendArgs {
    /// Whether the URL says who this is.
    pub(crate) fn has_label(&self) -> bool {
        let options = self.backend.as_deref().and_then(|url| url.split_once('?'));
        options.is_some_and(|(_, options)| options.split('&').any(|option| option.starts_with("label=")))
    }
}

/// For how long to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Endless,
    /// Zero is a try.
    For(Duration),
}

impl RunArgs {
    pub(crate) fn patience(&self) -> Patience {
        match self.wait {
            Some(time) => Patience::For(time),
            None if self.no_wait => Patience::For(Duration::ZERO),
            None => Patience::Endless,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
