//! The example program, on every backend there is.

#![cfg(any(feature = "memory", feature = "file", feature = "redis", feature = "etcd"))]
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where cargo puts the example when it builds all of the package's tests. Asked for this test alone
/// (`--test job_table`), it does not build it anew.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples/job_table");
    assert!(program.exists(), "run `cargo build -p dlock-rs --example job_table` first, or all tests of dlock-rs");
    program
}

fn run(backend: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["--backend", backend, "--jobs", "24", "--workers", "4"]).args(more);
    command.arg("--database").arg(dir.path().join("jobs.sqlite")).output().unwrap()
}

#[track_caller]
fn succeeds(backend: &str, more: &[&str]) -> String {
    let output = run(backend, more);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("every job was done once"), "{said}");
    assert!(said.contains("a write with an old token was refused"), "{said}");
    said
}

/// With and without a worker that dies in the middle of a job.
#[cfg(any(feature = "file", feature = "redis", feature = "etcd"))]
#[track_caller]
fn succeeds_with_processes(backend: &str) {
    let said = succeeds(backend, &[]);
    assert!(said.contains("24 jobs for 4 worker processes"), "{said}");
    let said = succeeds(backend, &["--crash"]);
    assert!(said.contains("worker 0 dies in the middle of job"), "{said}");
    assert!(said.contains("jobs begun by a worker that vanished, and done by another: 1\n"), "{said}");
}

#[cfg(feature = "memory")]
#[test]
fn on_memory() {
    let said = succeeds("memory:", &[]);
    assert!(said.contains("24 jobs for 4 worker tasks, locked on memory"), "{said}");
}

#[cfg(feature = "file")]
#[test]
fn on_files() {
    let dir = tempfile::tempdir().unwrap();
    succeeds_with_processes(&format!("file://{}", dir.path().display()));
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn on_redis() {
    let Ok(server) = dlock_testkit::servers::redis().await else { return };
    succeeds_with_processes(&format!("{}?ttl=2s&namespace=job-table-{}", server.url(), std::process::id()));
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn on_etcd() {
    let Ok(server) = dlock_testkit::servers::etcd().await else { return };
    succeeds_with_processes(&format!("{}?ttl=2s&namespace=job-table-{}", server.url(), std::process::id()));
}

#[test]
fn a_command_line_that_cannot_be_used_says_why() {
    for (more, why) in [
        (&["--jobs", "many"][..], "--jobs is a number, not \"many\"\nusage: job_table --backend URL"),
        (&["--jobs"], "--jobs needs a value"),
        (&["--fast", "yes"], "there is no --fast"),
        (&["--workers", "1", "--crash"], "needs a second worker"),
    ] {
        let output = Command::new(program()).args(["--backend", "memory:"]).args(more).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{more:?}: {said}");
    }
}
