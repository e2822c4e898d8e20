use std::time::{Duration, SystemTime};

use rustix::process::{Signal, kill_process};

use crate::site::{Ended, Site, eventually, process};

/// What a waiter may need after the job's end, here. The machine of a test is a busy one.
const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// Says when it starts, in nanoseconds.
const STAMP: &str = "date +%s%N";

#[test]
fn a_job_whose_dlock_is_killed_keeps_the_lock_until_it_ends() {
    let site = Site::new();
    // The job says when it is about to end; its process ends right after.
    let script = "echo $$ >job.pid; echo up >up; until [ -e finish ]; do sleep 0.01; done; exec date +%s%N >end";
    let holder = site.start(site.job(&["a"], script));
    eventually("the job runs", || site.read("up") == "up\n");
    let mut waiter = site.start(site.job(&["a"], STAMP));
    site.wait_until_shown("a", "1 waiting");

    holder.signal(Signal::KILL);
    let job = process(&site.read("job.pid"));
    assert!(site.ended(site.job(&["--wait", "1500ms", "a"], "true")).code == Some(75), "the job still runs");
    assert!(waiter.is_running());
    rustix::process::test_kill_process(job).expect("the job still runs");
    assert!(site.show("a").starts_with("a: held, 1 waiting\n"), "{}", site.show("a"));

    site.finish();
    let late = lateness(&site.wait_for("end"), &waiter.ended());
    assert!(late < SERVED_WITHIN, "served {late:?} after the job's end");
    drop(holder);
    assert_eq!(site.show("a"), "a: free\n");
}

#[test]
fn a_job_killed_after_its_dlock_frees_the_lock() {
    let site = Site::new();
    let holder = site.hold(&["a"]);
    let waiter = site.start(site.job(&["a"], STAMP));
    site.wait_until_shown("a", "1 waiting");
    holder.signal(Signal::KILL);
    // The shell, and what it was running for a moment.
    kill_process(process(&site.read("job.pid")), Signal::KILL).unwrap();
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos().to_string();
    let late = lateness(&end, &waiter.ended());
    assert!(late < SERVED_WITHIN, "served {late:?} after the job's end");
}

#[test]
fn a_waiter_that_is_killed_leaves_the_line() {
    let site = Site::new();
    let holder = site.hold(&["a"]);
    let first = site.start(site.job(&["a"], "echo first"));
    site.wait_until_shown("a", "1 waiting");
    let second = site.start(site.job(&["a"], "echo second"));
    site.wait_until_shown("a", "2 waiting");
    first.signal(Signal::KILL);
    site.wait_until_shown("a", "1 waiting");
    site.finish();
    holder.ended();
    assert_eq!(second.ended().stdout, "second\n");
    assert_eq!(first.stdout(), "");
    assert_eq!(site.show("a"), "a: free\n");
}

/// A job's own child that stays behind keeps the lock of a killed `dlock`, and not that of one that
/// saw its job end.
#[test]
fn what_a_job_leaves_behind_does_not_keep_the_lock_when_dlock_sees_the_end() {
    let site = Site::new();
    let ended = site.start(site.job(&["a"], "sleep 30 & echo started"));
    assert_eq!(ended.ended().stdout, "started\n");
    assert_eq!(site.ended(site.job(&["--no-wait", "a"], "true")).code, Some(0));
}

impl Site {
    /// What a job wrote into a file, once it is complete.
    fn wait_for(&self, name: &str) -> String {
        eventually(name, || self.read(name).ends_with('\n'));
        self.read(name)
    }
}

fn lateness(end: &str, waiter: &Ended) -> Duration {
    assert_eq!(waiter.code, Some(0), "{waiter:?}");
    let nanos = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is no time"));
    Duration::from_nanos(nanos(&waiter.stdout).saturating_sub(nanos(end)))
}
