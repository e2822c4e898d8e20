use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::site::Site;

#[test]
fn the_jobs_code_is_passed_on() {
    let site = Site::new();
    for code in [0, 1, 42, 64, 75, 255] {
        let ended = site.ended(site.job(&["a"], &format!("exit {code}")));
        assert_eq!((ended.code, &*ended.stderr), (Some(code), ""), "{ended:?}");
    }
}

#[test]
fn a_job_that_was_killed_is_128_and_the_signal() {
    let site = Site::new();
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        assert_eq!(site.ended(site.job(&["a"], &format!("kill -{signal} $$"))).code, Some(code));
    }
}

#[test]
fn a_command_that_cannot_run_is_told_as_shells_do() {
    let site = Site::new();
    std::fs::write(site.path("text"), "no program").unwrap();
    std::fs::write(site.path("script"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(site.path("script"), Permissions::from_mode(0o755)).unwrap();
    for (command, code, why) in [
        ("no-such-command", 127, "dlock: no-such-command: command not found\n"),
        ("./no/such/command", 127, "dlock: ./no/such/command: command not found\n"),
        ("./text", 126, "dlock: ./text: cannot be executed: Permission denied"),
        ("./script", 126, "dlock: ./script: cannot be executed: its interpreter is not found"),
        ("/", 126, "dlock: /: cannot be executed: Permission denied"),
        ("", 127, "command not found"),
    ] {
        let ended = site.ended(site.dlock(&["run", "a", "--", command]));
        assert_eq!(ended.code, Some(code), "{command:?}: {ended:?}");
        assert!(ended.stderr.contains(why), "{ended:?}");
        assert_eq!(site.show("a"), "a: free\n", "the lock is released");
    }
}

#[test]
fn a_held_lock_is_refused_at_once_or_after_the_wait() {
    let site = Site::new();
    let holder = site.hold(&["--label", "nightly", "a"]);
    let by = format!("it is held by nightly ({}, process {}) for ", host(), holder.pid().as_raw_nonzero());
    for (patience, said) in [
        (&["--no-wait"][..], format!("dlock: gave up on a: {by}")),
        (&["--wait", "0"], format!("dlock: gave up on a: {by}")),
        (&["--wait", "150ms"], format!("dlock: gave up on a after 150ms: {by}")),
        (&["--wait", "1"], format!("dlock: gave up on a after 1s: {by}")),
    ] {
        let ended = site.ended(site.job(&[patience, &["a"]].concat(), "echo ran"));
        assert_eq!((ended.code, &*ended.stdout), (Some(75), ""), "{ended:?}");
        assert!(ended.stderr.contains(&said), "{said:?} in {ended:?}");
    }
    assert!(site.show("a").starts_with("a: held\n"), "nobody is left in the line");
    site.finish();
    assert_eq!(holder.ended().code, Some(0));
    assert_eq!(site.ended(site.job(&["--no-wait", "a"], "echo ran")).stdout, "ran\n");
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
