use crate::site::{Site, eventually};

#[test]
fn a_second_run_waits_says_for_whom_once_and_goes_on() {
    let site = Site::new();
    let holder = site.hold(&["--label", "nightly", "a"]);
    let mut waiter = site.start(site.job(&["a"], "echo ran"));
    eventually("it says so", || waiter.stderr().ends_with('\n'));
    site.wait_until_shown("a", "a: held, 1 waiting");
    assert!(waiter.is_running());
    site.finish();
    assert_eq!(holder.ended().code, Some(0));
    let ended = waiter.ended();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "ran\n"));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.starts_with("dlock: waiting for a, held by nightly ("), "{ended:?}");
}

#[test]
fn waiters_are_served_in_the_order_they_came() {
    let site = Site::new();
    let holder = site.hold(&["a"]);
    let waiters: Vec<_> = (1..=4)
        .map(|number| {
            let waiter = site.start(site.job(&["a"], &format!("echo {number} >>order")));
            site.wait_until_shown("a", &format!("{number} waiting"));
            waiter
        })
        .collect();
    eventually("the last one says who is before", || waiters[3].stderr().contains("; 3 are before, the last sh ("));
    site.finish();
    holder.ended();
    for waiter in waiters {
        assert_eq!(waiter.ended().code, Some(0));
    }
    assert_eq!(site.read("order"), "1\n2\n3\n4\n");
    assert_eq!(site.show("a"), "a: free\n");
}

#[test]
fn shared_runs_go_together_and_exclude_an_exclusive_one() {
    let site = Site::new();
    let first = site.hold(&["--shared", "a"]);
    assert_eq!(site.ended(site.job(&["--shared", "--no-wait", "a"], "exit 5")).code, Some(5));
    assert_eq!(site.ended(site.job(&["--no-wait", "a"], "exit 5")).code, Some(75));
    site.finish();
    first.ended();
}

#[test]
fn permits_let_as_many_run_as_there_are() {
    let site = Site::new();
    let first = site.hold(&["--permits", "2", "a"]);
    std::fs::remove_file(site.path("up")).unwrap();
    let second = site.hold(&["--permits", "2", "a"]);
    let third = site.ended(site.job(&["--permits", "2", "--no-wait", "a"], "true"));
    assert_eq!(third.code, Some(75));
    assert!(third.stderr.contains(" and one other"), "{third:?}");
    let other = site.ended(site.job(&["--permits", "3", "--no-wait", "a"], "true"));
    assert_eq!(other.code, Some(64));
    assert!(other.stderr.contains("permit of 2"), "{other:?}");
    site.finish();
    first.ended();
    second.ended();
}

#[test]
fn a_run_inside_a_run_of_the_same_name_is_told_that_it_waits_for_itself() {
    let site = Site::new();
    let ended = site.ended(site.job(&["a"], &format!("{} run --wait 1s a -- true", crate::site::DLOCK)));
    assert_eq!(ended.code, Some(75));
    assert!(ended.stderr.contains("; that is the job which this is a part of\n"), "{ended:?}");
}
