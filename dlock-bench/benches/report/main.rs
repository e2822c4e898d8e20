//! The performance report: `cargo bench -p dlock-bench -- --write docs/performance.md`.
//!
//! Ratios are taken between contenders that took turns in one run, because absolute times on a
//! shared machine mean little.

mod contended;
mod contenders;
mod crowd;
mod cycle;
mod figures;
mod hand_over;
mod holding;
mod reentry;
mod requests;
mod stores;
mod usage;
mod waiting;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use self::stores::{Etcd, Redis};

/// Measures dlock against the bare client libraries, and prints tables.
#[derive(Debug, Parser)]
struct Options {
    /// Replaces what stands after the first table heading of this file by the new tables.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Only the parts whose names contain one of these words, such as `etcd`, `cycle` or `cycle-etcd`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn want(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| part.contains(word))
    }

    /// Those of the uncontended cycle, each of which is a part of its own.
    fn groups(&self) -> Vec<&'static str> {
        cycle::GROUPS.into_iter().filter(|group| self.want(&format!("{CYCLE}-{group}"))).collect()
    }
}

const CYCLE: &str = "cycle";

fn main() -> ExitCode {
    if let Some(code) = hand_over::play_role().or_else(waiting::play_role).or_else(crowd::play_role) {
        return code;
    }
    let options = Options::parse();
    let mut report = String::new();
    for (name, section) in sections(&options) {
        let wanted = if name == CYCLE { !options.groups().is_empty() } else { options.want(name) };
        if wanted {
            let text = section();
            println!("{text}");
            writeln!(report, "{text}").expect("a string takes what is written");
        }
    }
    if report.is_empty() {
        let names: Vec<_> = sections(&options).into_iter().map(|(name, _)| name).collect();
        eprintln!("no such section; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    match options.write {
        Some(path) => write(&path, &report),
        None => ExitCode::SUCCESS,
    }
}

type Section<'a> = Box<dyn Fn() -> String + 'a>;

/// The whole report in its order.
fn sections(options: &Options) -> Vec<(&'static str, Section<'_>)> {
    vec![
        ("reentry", Box::new(reentry::report)),
        (CYCLE, Box::new(|| cycle::report(&options.groups()))),
        ("contended-redis", Box::new(contended::report::<Redis>)),
        ("contended-etcd", Box::new(contended::report::<Etcd>)),
        ("requests-redis", Box::new(requests::report::<Redis>)),
        ("requests-etcd", Box::new(requests::report::<Etcd>)),
        ("crowd-redis", Box::new(crowd::redis::report)),
        ("crowd-etcd", Box::new(crowd::etcd::report)),
        ("hand-over", Box::new(hand_over::report)),
        ("waiting", Box::new(waiting::report)),
        ("holding", Box::new(holding::report)),
    ]
}

fn write(path: &Path, report: &str) -> ExitCode {
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
