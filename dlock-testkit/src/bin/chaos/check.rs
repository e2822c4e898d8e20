//! Judging runs.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use dlock_testkit::check::{self, Report};
use dlock_testkit::history::History;
use dlock_testkit::timeline::{self, Verdict, Window};

use crate::command::CheckArguments;
use crate::print;

/// How much of a run a picture shows before and after a violation, in nanoseconds.
const AROUND: u64 = 15_000_000;

pub(crate) fn run(arguments: &CheckArguments) -> io::Result<ExitCode> {
    if arguments.picture.is_some() && arguments.dirs.len() > 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a picture shows one run: name one directory"));
    }
    let mut are_sound = true;
    for dir in &arguments.dirs {
        let (history, report) = judged(dir)?;
        if arguments.json {
            print(format_args!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            print(&report)?;
        }
        are_sound &= report.is_sound();
        if let Some(file) = &arguments.picture {
            write(file, &picture(dir, &history, &report)?)?;
        }
    }
    Ok(if are_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Judges the run in `dir`; leaves the report and the page there.
pub(crate) fn judge(dir: &Path) -> io::Result<Report> {
    judged(dir).map(|(_, report)| report)
}

fn judged(dir: &Path) -> io::Result<(History, Report)> {
    let history = History::read(dir).map_err(io::Error::other)?;
    let report = check::check(&history);
    write(&dir.join("report.json"), &serde_json::to_string_pretty(&report)?)?;
    write(&dir.join("timeline.html"), &timeline::render(&history, &timeline::marks(&report)))?;
    Ok((history, report))
}

/// Writes a file; an error names it.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// The surroundings of the first violation.
fn picture(dir: &Path, history: &History, report: &Report) -> io::Result<String> {
    let marks = timeline::marks(report);
    let Some(first) = marks.iter().find(|mark| mark.verdict == Verdict::Violation) else {
        return Err(io::Error::other(format!("{} has no violation to be drawn", dir.display())));
    };
    let window = Window { from: first.from, to: first.to }.with_margin(AROUND);
    Ok(timeline::svg(history, &marks, window))
}
