//! The performance report: `cargo bench -p dlock-bench -- --write docs/performance.md`.
//!
//! Ratios are taken between contenders that took turns in one run, because absolute times on a
//! shared machine mean little.

mod contended;
mod contenders;
mod cycle;
mod figures;
mod hand_over;
mod holding;
mod reentry;
mod requests;
mod server_counts;
mod ten_thousand;
mod usage;
mod waiting;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

/// Measures dlock against the bare client libraries, and prints tables.
#[derive(Debug, Parser)]
struct Options {
    /// Replaces what stands after the first table heading of this file by the new tables.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Only these sections.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "reentry,cycle,contended,requests,ten-thousand,hand-over,waiting,holding"
    )]
    only: Vec<String>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if let Some(code) = hand_over::play_role().or_else(waiting::play_role).or_else(ten_thousand::play_role) {
        return code;
    }
    let options = Options::parse();
    let mut report = String::new();
    for section in &options.only {
        let text = match section.as_str() {
            "reentry" => reentry::report(),
            "cycle" => cycle::report(),
            "contended" => contended::report(),
            "requests" => requests::report(),
            "ten-thousand" => ten_thousand::report(),
            "hand-over" => hand_over::report(),
            "waiting" => waiting::report(),
            "holding" => holding::report(),
            other => {
                eprintln!("there is no section {other:?}");
                return ExitCode::FAILURE;
            }
        };
        println!("{text}");
        writeln!(report, "{text}").expect("a string takes what is written");
    }
    let Some(path) = options.write else { return ExitCode::SUCCESS };
    // Cargo runs benchmarks in their package's folder; what is named here is seen from the repository.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let intro = old.split_inclusive('\n').take_while(|line| !line.starts_with("## ")).collect::<String>();
    match std::fs::write(&path, format!("{intro}{}", report.trim_end().to_owned() + "\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} cannot be written: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// The runtime of all who are compared, whatever the machine.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}
