//! What is left when a test process is killed: nothing.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dlock_testkit::servers::{Etcd, EtcdCluster, Node, Output, Process, Redis, SmallDisk};

use crate::BOUND;
use crate::talk::connect;

/// Tells this very program, run as a child, that it is the one to be killed.
const VICTIM: &str = "DLOCK_TESTKIT_VICTIM";

#[test]
fn a_killed_test_process_leaves_no_server() {
    if env::var_os(VICTIM).is_some() {
        start_servers_and_die();
    }
    let (Ok(()), Ok(())) = (Redis::installed(), Etcd::installed()) else { return };
    assert_nothing_is_left_by("left_behind::a_killed_test_process_leaves_no_server", 4);
}

#[test]
fn a_killed_test_process_leaves_no_cluster() {
    if env::var_os(VICTIM).is_some() {
        start_cluster_and_die();
    }
    let Ok(()) = Etcd::installed() else { return };
    assert_nothing_is_left_by("left_behind::a_killed_test_process_leaves_no_cluster", 3);
}

#[test]
fn a_killed_test_process_leaves_no_disk() {
    if env::var_os(VICTIM).is_some() {
        mount_disks_and_die();
    }
    let (Ok(()), Ok(())) = (Redis::installed(), SmallDisk::available()) else { return };
    assert_nothing_is_left_by("left_behind::a_killed_test_process_leaves_no_disk", 2);
}

/// Runs the test as a child, which kills itself, and waits until all that it printed is gone.
fn assert_nothing_is_left_by(test: &str, count: usize) {
    let mut victim = Command::new(env::current_exe().expect("a test program knows its path"));
    victim.args(["--exact", test, "--nocapture"]).env(VICTIM, "yes");
    let victim = Process::spawn(&victim, Output::Piped).expect("the test program starts again");
    let left_behind: Vec<(SocketAddr, String)> = BufReader::new(victim.take_stdout().expect("its output is piped"))
        .lines()
        .map(|line| line.expect("its output is text"))
        .filter_map(|line| {
            let (addr, dir) = line.split_once("started ")?.1.split_once(' ')?;
            Some((addr.parse().expect("the victim prints an address"), dir.to_owned()))
        })
        .collect();
    assert_eq!(left_behind.len(), count);
    let status = victim.wait_within(BOUND).expect("the victim ends");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    let deadline = Instant::now() + BOUND;
    for (addr, dir) in left_behind {
        while connect(addr).is_ok() || Path::new(&dir).exists() {
            assert!(Instant::now() < deadline, "{addr} or {dir} is still there");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn start_servers_and_die() -> ! {
    let own = Redis::builder().start_blocking();
    // A thread that ends, as those of the test harness do, takes nothing along.
    let other = thread::spawn(|| Redis::builder().start_blocking()).join().expect("redis starts");
    let stopped = Redis::builder().append_only().start_blocking();
    let etcd = Etcd::builder().start_blocking();
    for node in [&own, &other, &stopped].map(std::ops::Deref::deref).into_iter().chain([&*etcd]) {
        report(node);
    }
    stopped.stop();
    die();
}

fn start_cluster_and_die() -> ! {
    let etcd = EtcdCluster::builder().start_blocking();
    (0..etcd.count()).for_each(|member| report(etcd.node(member)));
    etcd.node(0).stop();
    etcd.isolate(1);
    die();
}

fn mount_disks_and_die() -> ! {
    let redis = Redis::builder().append_only().with_disk(8 << 20).start_blocking();
    report(&redis);
    let disk = SmallDisk::new(1 << 20).expect("it is available");
    println!("started {} {}", redis.addr(), disk.path().display());
    disk.fill();
    die();
}

fn report(node: &Node) {
    connect(node.addr()).expect("it still serves");
    println!("started {} {}", node.addr(), node.dir().display());
}

fn die() -> ! {
    let myself = std::process::id().to_string();
    let _ = Command::new("sh").args(["-c", "kill -s KILL \"$1\"", "sh", &myself]).status();
    unreachable!("nobody survives SIGKILL");
}
