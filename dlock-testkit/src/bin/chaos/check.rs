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
        let report = judge(dir)?;
        if arguments.json {
            print(format_args!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            print(&report)?;
        }
        are_sound &= report.is_sound();
        if let Some(file) = &arguments.picture {
            write(file, &picture(dir)?)?;
        }
    }
    Ok(if are_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Judges the run in `dir`; leaves the report and the page there.
pub(crate) fn judge(dir: &Path) -> io::Result<Report> {
    let history = History::read(dir).map_err(io::Error::other)?;
    let report = check::check(&history);
    write(&dir.join("report.json"), &serde_json::to_string_pretty(&report)?)?;
    write(&dir.join("timeline.html"), &timeline::render(&history, &timeline::marks(&report)))?;
    Ok(report)
}

/// Writes a file; an error names it.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// The surroundings of the first violation.
pub(crate) fn picture(dir: &Path) -> io::Result<String> {
    let history = History::read(dir).map_err(io::Error::other)?;
    let marks = timeline::marks(&check::check(&history));
    let Some(first) = marks.iter().find(|mark| mark.verdict == Verdict::Violation) else {
        return Err(io::Error::other(format!("{} has no violation to be drawn", dir.display())));
    };
    let window = Window { from: first.from - AROUND, to: first.to + AROUND };
    Ok(timeline::svg(&history, &marks, window))
}
