//! The same on a lock service, where the lock lives by its ttl.

#![cfg(any(feature = "redis", feature = "etcd"))]

use std::net::TcpListener;
use std::process::Command;

use dlock_testkit::servers;
use rustix::process::Signal;

use crate::site::{Site, eventually};

const HOLD: &str = "echo up >>up; until [ -e finish ]; do sleep 0.01; done";

/// A second run waits for the first, sees who it is, and goes on; it also does so when the first
/// `dlock` was killed, once the ttl is over.
fn one_job_at_a_time(url: &str) {
    let site = Site::new();
    let url = format!("{url}?namespace=cli-{}", std::process::id());
    let on_service = |mut command: Command| {
        command.env("DLOCK_BACKEND", &url);
        command
    };
    let show = || site.ended(on_service(site.dlock(&["show", "a"]))).stdout;
    let run = |args: &[&str], script: &str| on_service(site.job(args, script));

    assert_eq!(show(), "a: free\n");
    let first = site.start(run(&["--ttl", "2s", "--label", "nightly", "a"], HOLD));
    eventually("the job runs", || site.read("up") == "up\n");
    let refused = site.ended(run(&["--no-wait", "a"], "true"));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.stderr.contains("it is held by nightly ("), "{refused:?}");
    let second = site.start(run(&["a"], "echo $DLOCK_TOKEN"));
    eventually("the second waits", || show().starts_with("a: held, 1 waiting\n"));
    assert!(second.stderr().len() < 200, "{}", second.stderr());

    first.signal(Signal::KILL);
    let ended = second.ended();
    assert_eq!(ended.code, Some(0), "served when the ttl was over: {ended:?}");
    assert!(ended.stdout.trim().parse::<u64>().is_ok(), "{ended:?}");
    assert_eq!(site.ended(run(&["a"], "exit 7")).code, Some(7));
    assert_eq!(show(), "a: free\n");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn one_job_at_a_time_on_redis() {
    let Ok(server) = servers::redis().await else { return };
    one_job_at_a_time(server.url());
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn one_job_at_a_time_on_etcd() {
    let Ok(server) = servers::etcd().await else { return };
    one_job_at_a_time(server.url());
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_job_is_ended_when_the_service_is_out_of_reach_for_too_long() {
    if servers::Redis::installed().is_err() {
        return;
    }
    let server = servers::Redis::start().await;
    let site = Site::new();
    let mut command = site.job(&["--ttl", "1s", "a"], HOLD);
    command.env("DLOCK_BACKEND", server.url());
    let running = site.start(command);
    eventually("the job runs", || site.read("up") == "up\n");
    server.kill();
    let ended = running.ended();
    assert_eq!(ended.code, Some(79), "{ended:?}");
    assert!(ended.stderr.contains("dlock: lost a: no renewal was answered in time; ending the job\n"), "{ended:?}");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn who_gives_up_on_a_service_that_went_away_is_told_so() {
    if servers::Redis::installed().is_err() {
        return;
    }
    let server = servers::Redis::start().await;
    let site = Site::new();
    let on_service = |mut command: Command| {
        command.env("DLOCK_BACKEND", server.url());
        site.start(command)
    };
    let _holder = on_service(site.job(&["--ttl", "60s", "a"], HOLD));
    eventually("the job runs", || site.read("up") == "up\n");
    let waiter = on_service(site.job(&["--wait", "4s", "a"], "echo ran"));
    eventually("the other one waits", || waiter.stderr().contains("waiting for a, held by "));
    server.kill();
    let ended = waiter.ended();
    assert_eq!((ended.code, &*ended.stdout), (Some(75), ""), "{ended:?}");
    assert!(ended.stderr.contains("gave up on a after 4s: it was held, and now cannot connect to redis"), "{ended:?}");
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn a_job_goes_on_when_the_leader_of_the_members_is_killed() {
    if servers::Etcd::installed().is_err() {
        return;
    }
    let members = servers::EtcdCluster::start().await;
    let site = Site::new();
    let on_members = |mut command: Command| {
        command.env("DLOCK_BACKEND", members.url());
        command
    };
    let running = site.start(on_members(site.job(&["--ttl", "4s", "a"], HOLD)));
    eventually("the job runs", || site.read("up") == "up\n");
    let leader = members.wait_for_leader(None).await;
    members.node(leader).kill();
    members.wait_for_leader(Some(leader)).await;
    let refused = site.ended(on_members(site.job(&["--no-wait", "a"], "true")));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    // Far longer than the lock lives without being renewed.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let refused = site.ended(on_members(site.job(&["--no-wait", "a"], "true")));
    assert_eq!(refused.code, Some(75), "{refused:?}");
    site.finish();
    let ended = running.ended();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert_eq!(site.ended(on_members(site.job(&["a"], "exit 7"))).code, Some(7));
}

#[test]
fn a_service_that_does_not_answer_is_69_and_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new();
    for scheme in [cfg!(feature = "redis").then_some("redis"), cfg!(feature = "etcd").then_some("etcd")] {
        let Some(scheme) = scheme else { continue };
        let url = format!("{scheme}://u:secret@{free}");
        let ended = site.ended(site.dlock(&["run", "--backend", &url, "a", "--", "echo", "ran"]));
        assert_eq!((ended.code, &*ended.stdout), (Some(69), ""), "{ended:?}");
        assert!(ended.stderr.contains(&free.to_string()) && !ended.stderr.contains("secret"), "{ended:?}");
    }
}
