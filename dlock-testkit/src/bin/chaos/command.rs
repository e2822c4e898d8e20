//! What can be asked for at the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::stores::Store;
use crate::worker::Locking;

/// How many names the workers of a run contend for, if nothing else is said.
pub(crate) const NAMES: usize = 3;

/// Put a lock under faults, write down what happens, and judge it.
///
/// Five processes with four owners each contend for three names, and count in registers that the
/// names guard, while clients, their network, servers and stored entries are disturbed by a schedule
/// that the seed decides. Then everything is healed, everybody must be served, and nothing may be
/// left in the store.
///
/// Exit status: 0 sound, 1 something that was promised did not hold, 2 the run failed.
#[derive(Debug, Parser)]
#[command(name = "chaos", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
    #[command(flatten)]
    pub(crate) trial: TrialArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Judge runs that are over, and draw them again.
    Check(CheckArguments),
    /// Write tables of runs that are over.
    Tables(TablesArguments),
    /// Put locks with planted bugs, and locks without fences, under faults: each must be caught.
    Controls(ControlsArguments),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TrialArguments {
    /// The store; its servers are started for the run.
    #[arg(long, value_enum, required = true)]
    pub(crate) store: Option<Store>,
    /// Decides the faults, and what the clients do.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many faults.
    #[arg(long, default_value_t = 200)]
    pub(crate) faults: u64,
    /// How many names they contend for.
    #[arg(long, default_value_t = NAMES)]
    pub(crate) names: usize,
    /// Where the history is written; a run that is there is replaced. The default is a directory
    /// below target/chaos that is named for the run.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// The lock that is used.
    #[arg(long, value_enum, default_value_t = Locking::Dlock)]
    pub(crate) lock: Locking,
    /// Plant a bug into the adapter: see `chaos controls --list`.
    #[arg(long, value_name = "BUG")]
    pub(crate) plant: Option<String>,
    /// Only these kinds of faults, such as "stop client,kill leader".
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    pub(crate) only: Vec<String>,
    /// Only print the schedule.
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Directories of runs.
    #[arg(required = true)]
    pub(crate) dirs: Vec<PathBuf>,
    /// Print reports as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the surroundings of the first violation as an SVG picture.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TablesArguments {
    /// Directories of runs.
    #[arg(required = true)]
    pub(crate) dirs: Vec<PathBuf>,
    /// A document in which the tables replace those of the last time, instead of printing them.
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ControlsArguments {
    /// Only these bugs and locks.
    pub(crate) only: Vec<String>,
    /// Only print what there is.
    #[arg(long)]
    pub(crate) list: bool,
    /// The first seed; a bug that it does not bring to light is tried with the next ones.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the histories are written.
    #[arg(long, default_value = "target/chaos/controls")]
    pub(crate) dir: PathBuf,
    /// A document in which the table replaces that of the last time, instead of printing it only.
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}
