//! A wall clock that a test can step, for one server.
//!
//! A small library (`clock.c`), compiled into the server's directory and preloaded, shifts what
//! the server reads by an offset that it finds in a file.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::servers::Skip;
use crate::servers::programs::Program;

const SOURCE: &str = include_str!("clock.c");
const COMPILER: Program = Program::Installed("cc");
/// Tells the library where the offset is.
const VARIABLE: &str = "DLOCK_CLOCK";

/// Whether the library can be compiled here.
pub(super) fn installed() -> Result<(), Skip> {
    match COMPILER.path() {
        Some(_) => Ok(()),
        None => Err(Skip::unless_required("cc", format!("{}, so no clock can be stepped", COMPILER.missing()))),
    }
}

/// Compiles the library into `dir`, unless it is there.
pub(super) fn furnish(dir: &Path) -> io::Result<()> {
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
pub(super) fn preload(command: &mut Command, dir: &Path) {
    command.env("LD_PRELOAD", library(dir)).env(VARIABLE, offset(dir));
}

/// Moves the clock of the server in `dir` by so many microseconds from where it stands.
pub(super) fn step(dir: &Path, micros: i64) -> io::Result<()> {
    let file = fs::File::options().read(true).write(true).open(offset(dir))?;
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0)?;
    file.write_all_at(&i64::from_ne_bytes(bytes).saturating_add(micros).to_ne_bytes(), 0)
}

fn library(dir: &Path) -> PathBuf {
    dir.join("clock.so")
}

fn offset(dir: &Path) -> PathBuf {
    dir.join("clock-offset")
}
