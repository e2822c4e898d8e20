use std::process::Command;

use rustix::process::Signal;

use crate::site::{DLOCK, Running, Site, eventually};

/// A job that says when it is ready, and then counts what it gets until it is told to finish.
const COUNT: &str = r#"for s in INT TERM HUP QUIT USR1 USR2; do trap "echo $s >>got" $s; done
echo up >up; until [ -e finish ]; do sleep 0.01; done; exit 9"#;

const ALL: [(Signal, &str, i32); 6] = [
    (Signal::INT, "INT", 130),
    (Signal::TERM, "TERM", 143),
    (Signal::HUP, "HUP", 129),
    (Signal::QUIT, "QUIT", 131),
    (Signal::USR1, "USR1", 138),
    (Signal::USR2, "USR2", 140),
];

#[test]
fn a_signal_ends_the_wait_and_the_claim() {
    let site = Site::new();
    let holder = site.hold(&["a"]);
    for (signal, _, code) in ALL {
        let waiter = site.start(site.job(&["a"], "echo ran"));
        site.wait_until_shown("a", "1 waiting");
        waiter.signal(signal);
        let ended = waiter.ended();
        assert_eq!((ended.code, &*ended.stdout), (Some(code), ""), "{ended:?}");
        assert!(site.show("a").starts_with("a: held\n"), "nobody is left in the line");
    }
    site.finish();
    holder.ended();
}

#[test]
fn signals_are_passed_on_to_the_job() {
    let site = Site::new();
    let running = started(&site, site.job(&["a"], COUNT));
    let mut expected = String::new();
    for (signal, name, _) in ALL {
        running.signal(signal);
        expected += &format!("{name}\n");
        eventually(&format!("the job gets {name}"), || site.read("got") == expected);
    }
    site.finish();
    assert_eq!(running.ended().code, Some(9), "the job's own code, since it went on");
}

#[test]
fn a_job_that_dies_of_a_passed_on_signal_is_128_and_the_signal() {
    let site = Site::new();
    let holder = site.hold(&["a"]);
    holder.signal(Signal::TERM);
    assert_eq!(holder.ended().code, Some(143));
    assert_eq!(site.show("a"), "a: free\n");
}

#[test]
fn what_was_ignored_before_stays_ignored() {
    let site = Site::new();
    let mut command = Command::new("sh");
    let script = r#"trap '' HUP; exec "$0" run a -- sh -c 'echo up >up; until [ -e finish ]; do sleep 0.01; done'"#;
    command.args(["-c", script, DLOCK]);
    site.settle(&mut command);
    let running = started(&site, command);
    let job = site.show("a");
    running.signal(Signal::HUP);
    assert!(job.starts_with("a: held\n"));
    site.finish();
    assert_eq!(running.ended().code, Some(0));
}

fn started(site: &Site, command: Command) -> Running {
    let running = site.start(command);
    eventually("the job runs", || site.read("up") == "up\n");
    running
}
