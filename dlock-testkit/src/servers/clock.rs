//! A wall clock that a test can step, for one process: a server, or a client.
//!
//! A small library (`clock.c`), compiled into a directory of that process's own and preloaded,
//! shifts what the process reads by an offset that it finds in a file.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Skip;
use super::programs::Program;

const SOURCE: &str = include_str!("clock.c");
const COMPILER: Program = Program::Installed("cc");
/// Tells the library where the offset is.
const VARIABLE: &str = "DLOCK_CLOCK";

/// Whether the library can be compiled here and has an effect.
pub(crate) fn can_be_stepped() -> bool {
    cfg!(target_os = "linux") && COMPILER.path().is_some()
}

/// [`can_be_stepped`], for a test that does not run without it.
pub(crate) fn installed() -> Result<(), Skip> {
    match can_be_stepped() {
        true => Ok(()),
        false => Err(Skip::unless_required("cc", format!("{}, so no clock can be stepped", COMPILER.missing()))),
    }
}

/// Compiles the library into `dir`, unless it is there.
pub(crate) fn furnish(dir: &Path) -> io::Result<()> {
    if library(dir).exists() {
        return Ok(());
    }
    let source = dir.join("clock.c");
    fs::write(&source, SOURCE)?;
    fs::write(offset(dir), 0_i64.to_ne_bytes())?;
    let output = COMPILER.command().args(["-shared", "-fPIC", "-O1", "-o"]).arg(library(dir)).arg(source).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{COMPILER} refuses clock.c: {}", String::from_utf8_lossy(&output.stderr))))
}

/// Makes the program take its time from the library.
pub(crate) fn preload(command: &mut Command, dir: &Path) {
    command.env("LD_PRELOAD", library(dir)).env(VARIABLE, offset(dir));
}

/// Moves the clock of the process that reads it in `dir` ahead from where it stands.
pub(crate) fn step_ahead(dir: &Path, by: Duration) -> io::Result<()> {
    step(dir, micros(by))
}

/// Moves it back.
pub(crate) fn step_back(dir: &Path, by: Duration) -> io::Result<()> {
    step(dir, -micros(by))
}

fn step(dir: &Path, micros: i64) -> io::Result<()> {
    let file = fs::File::options().read(true).write(true).open(offset(dir))?;
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0)?;
    file.write_all_at(&i64::from_ne_bytes(bytes).saturating_add(micros).to_ne_bytes(), 0)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn library(dir: &Path) -> PathBuf {
    dir.join("clock.so")
}

fn offset(dir: &Path) -> PathBuf {
    dir.join("clock-offset")
}
