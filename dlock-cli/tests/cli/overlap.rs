//! Jobs never overlap, whoever is killed when.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::site::{Running, Site, eventually};

/// How many jobs each of eight processes runs; more with `DLOCK_TEST_OVERLAP=200`.
fn rounds() -> usize {
    std::env::var("DLOCK_TEST_OVERLAP").map_or(25, |number| number.parse().expect("a number"))
}

const WORKERS: usize = 8;
const SERVED_WITHIN: Duration = Duration::from_secs(1);

/// Writes its token, process and the time into the log again and again while it runs. All of it is
/// one process, so that nothing of a killed job goes on: nobody ever writes into the pipe.
const JOB: &str = r#"#!/bin/bash
exec 8<>pipe
for step in 1 2 3 4 5; do
    printf '%s %s %s\n' "$DLOCK_TOKEN" "$$" "${EPOCHREALTIME/[.,]/}" >>log
    read -r -t 0.003 -u 8
done
exit 0
"#;

#[test]
fn no_two_jobs_overlap_while_dlocks_and_jobs_are_killed() {
    let site = Site::new();
    fs::write(site.path("job"), JOB).unwrap();
    fs::set_permissions(site.path("job"), fs::Permissions::from_mode(0o755)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        site.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    File::create(site.path("log")).unwrap();
    let dlocks: [Mutex<Option<Pid>>; WORKERS] = Default::default();
    let over = AtomicBool::new(false);

    let (killed_dlocks, killed_jobs) = thread::scope(|scope| {
        let killer = scope.spawn(|| kill_at_random(&site, &dlocks, &over));
        let workers: Vec<_> = dlocks.iter().map(|dlock| scope.spawn(|| work(&site, dlock))).collect();
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::SeqCst);
        let killed = killer.join().unwrap();
        done.into_iter().for_each(|worker| worker.unwrap());
        killed
    });

    // Jobs whose dlock was killed may still run.
    site.wait_until_shown("a", "a: free\n");
    let log = site.read("log");
    let jobs = check(&log);
    let _ = writeln!(
        std::io::stderr(),
        "overlap: {} jobs started, {killed_dlocks} dlocks and {killed_jobs} jobs killed, served within {:?} at worst",
        jobs.count,
        jobs.longest_gap
    );
    assert!(killed_dlocks > 0 && killed_jobs > 0, "too few rounds to mean anything");
    assert!(jobs.longest_gap < SERVED_WITHIN, "somebody waited for {:?} with nobody inside", jobs.longest_gap);
}

fn work(site: &Site, dlock: &Mutex<Option<Pid>>) {
    for _ in 0..rounds() {
        let mut running: Running = {
            let mut present = dlock.lock().unwrap();
            let running = site.start(site.dlock(&["run", "a", "--", "./job"]));
            *present = Some(running.pid());
            running
        };
        eventually("the run ends", || {
            let mut present = dlock.lock().unwrap();
            // Reaped under the lock, so that the killer never means another process.
            let ended = !running.is_running();
            if ended {
                *present = None;
            }
            ended
        });
        let orphaned = running.killed();
        // The job of a killed dlock belongs to its process group, and is to go on.
        if orphaned { running.leave() } else { drop(running) }
    }
}

/// Kills a `dlock`, waiting or with a job, or the present job, every few moments.
fn kill_at_random(site: &Site, dlocks: &[Mutex<Option<Pid>>], over: &AtomicBool) -> (usize, usize) {
    let (mut killed_dlocks, mut killed_jobs) = (0, 0);
    while !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(fastrand::u64(20..120)));
        if fastrand::bool() {
            if let Some(pid) = *fastrand::choice(dlocks).unwrap().lock().unwrap() {
                killed_dlocks += usize::from(kill_process(pid, Signal::KILL).is_ok());
            }
        } else if let Some(pid) = present_job(site) {
            killed_jobs += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
    }
    (killed_dlocks, killed_jobs)
}

/// The job that wrote last, if it runs: known by its command line, for ids are used again.
fn present_job(site: &Site) -> Option<Pid> {
    let log = site.read("log");
    let pid = log.lines().next_back()?.split(' ').nth(1)?;
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    if command.split('\0').nth(1)? != "./job" {
        return None;
    }
    Pid::from_raw(pid.parse().ok()?)
}

struct Jobs {
    count: usize,
    longest_gap: Duration,
}

/// The lines of one job must follow each other: a line of one after that of another shows two jobs
/// at work at the same time. And tokens must grow.
fn check(log: &str) -> Jobs {
    let mut jobs = Jobs { count: 0, longest_gap: Duration::ZERO };
    let mut last: Option<(u64, &str, u64)> = None;
    for line in log.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [token, pid, micros] = fields[..] else { panic!("a torn line: {line:?}") };
        let (token, micros): (u64, u64) = (token.parse().unwrap(), micros.parse().unwrap());
        match last {
            Some((same, present, _)) if same == token => assert_eq!(pid, present, "one token for two jobs"),
            Some((before, ..)) => {
                assert!(token > before, "the job with token {token} wrote after that with token {before} had begun");
                jobs.count += 1;
            }
            None => jobs.count += 1,
        }
        if let Some((.., before)) = last {
            jobs.longest_gap = jobs.longest_gap.max(Duration::from_micros(micros.saturating_sub(before)));
        }
        last = Some((token, pid, micros));
    }
    jobs
}
