//! What a process or a thread has used, from `/proc`.

use std::fs;
use std::time::Duration;

/// Processor time of a process so far.
pub(crate) fn process_time(pid: u32) -> Duration {
    time_in(&fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives"))
}

/// Processor time so far of this process's threads of that name.
pub(crate) fn thread_time(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("a process has threads");
    let stats = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(&format!("({name})"))).map(|stat| time_in(&stat)).sum()
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("a process has memory");
    let pages: usize =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second field is resident pages");
    pages * rustix::param::page_size()
}

/// User and system time, the 14th and 15th field of `stat`; the second may contain spaces.
fn time_in(stat: &str) -> Duration {
    let after_name = stat.rsplit_once(')').map_or(stat, |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
