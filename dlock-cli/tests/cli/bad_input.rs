use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::site::{DLOCK, Site};

#[test]
fn a_command_line_that_cannot_be_used_is_64_and_says_why() {
    let site = Site::new();
    let long = "n".repeat(600);
    let huge = "9".repeat(30);
    for (args, why) in [
        (&["run", "", "--", "true"][..], "lock name \"\" cannot be used: it is empty"),
        (&["run", "a\nb", "--", "true"], "control character U+000A"),
        (&["run", "a//b", "--", "true"], "a part between slashes is empty"),
        (&["run", &long, "--", "true"], "it has 600 bytes, at most 512 are allowed"),
        (&["show", ""], "it is empty"),
        (&["show", "a\u{7f}"], "control character U+007F"),
        (&["run", "a"], "<COMMAND>..."),
        (&["run", "a", "true"], "unexpected argument 'true'"),
        (&["run"], "required"),
        (&["walk", "a"], "unrecognized subcommand 'walk'"),
        (&["run", "--wait", "soon", "a", "--", "true"], "'soon' for '--wait <DURATION>': expected number at 0; write"),
        (&["run", "--wait", "-5s", "a", "--", "true"], "'-5s' for '--wait <DURATION>'"),
        (&["run", "--wait", &huge, "a", "--", "true"], "number is too large"),
        (&["run", "--wait", "200years", "a", "--", "true"], "it is too long: at most a hundred years"),
        (&["run", "--wait", "1s", "--no-wait", "a", "--", "true"], "cannot be used with"),
        (&["run", "--ttl", "0", "a", "--", "true"], "'0' for '--ttl <DURATION>': it must be longer than zero"),
        (&["run", "--ttl", "5 bananas", "a", "--", "true"], "unknown time unit \"bananas\""),
        (&["run", "--permits", "0", "a", "--", "true"], "'0' for '--permits <N>'"),
        (&["run", "--permits", "-1", "a", "--", "true"], "'-1' for '--permits <N>'"),
        (&["run", "--permits", "2", "--shared", "a", "--", "true"], "cannot be used with"),
        (&["run", "--backend", "", "a", "--", "true"], "the backend url is empty: use "),
        (&["run", "--backend", "/var/lock", "a", "--", "true"], "starts with the scheme of a backend"),
        (&["run", "--backend", "ftp://h", "a", "--", "true"], "unknown scheme \"ftp\" in the backend url: use "),
        (&["run", "--backend", "file:locks", "a", "--", "true"], "from its root, with three slashes"),
        (&["run", "--backend", "file:///tmp/x?tll=5s", "a", "--", "true"], "unknown option \"tll\""),
        (&["run", "--backend", "memory:", "a", "--", "true"], "locks of the memory backend end with the process"),
        (&["run", "--backend", "file:///etc/passwd/locks", "a", "--", "true"], "/etc/passwd/locks"),
        (&["show", "--backend", "redis://u:secret@h:port", "a"], "redis"),
    ] {
        let ended = site.ended(site.dlock(args));
        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(why), "{args:?}: {ended:?}");
        assert!(!ended.stderr.contains("secret") && ended.stderr.len() < 1000, "{args:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

#[test]
fn an_empty_variable_is_not_taken_for_none() {
    let site = Site::new();
    let mut command = site.job(&["a"], "echo ran");
    command.env("DLOCK_BACKEND", "");
    let ended = site.ended(command);
    assert_eq!((ended.code, &*ended.stdout), (Some(64), ""), "{ended:?}");
    assert!(ended.stderr.contains("the backend url is empty"), "{ended:?}");
}

#[test]
fn a_directory_that_may_not_be_written_to_is_69_and_named() {
    let site = Site::new();
    fs::create_dir(site.path("theirs")).unwrap();
    fs::set_permissions(site.path("theirs"), Permissions::from_mode(0o555)).unwrap();
    let url = format!("file://{}/locks", site.path("theirs").display());
    let args = ["run", "--backend", &url, "a", "--", "echo", "ran"];
    let command = if rustix::process::geteuid().is_root() {
        // Nothing is closed to root: be nobody, who must be able to reach the binary.
        fs::set_permissions(site.path(""), Permissions::from_mode(0o755)).unwrap();
        fs::copy(DLOCK, site.path("dlock")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(site.path("dlock")).args(args);
        command
    } else {
        site.dlock(&args)
    };
    let ended = site.ended(command);
    assert_eq!((ended.code, &*ended.stdout), (Some(69), ""), "{ended:?}");
    assert!(ended.stderr.contains("theirs") && ended.stderr.contains("ermission"), "{ended:?}");
}

#[test]
fn help_goes_to_the_output_and_is_no_failure() {
    let site = Site::new();
    for (args, text) in [
        (&["--help"][..], "dlock run nightly-backup -- backup.sh /home"),
        (&["run", "-h"], "--no-wait"),
        (&["run", "--help"], "75  not acquired"),
        (&["show", "--help"], "dlock show nightly-backup"),
        (&["--version"], "dlock 0."),
    ] {
        let mut command = site.dlock(args);
        command.env("DLOCK_BACKEND", "redis://u:secret@h");
        let ended = site.ended(command);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{args:?}: {ended:?}");
        assert!(ended.stdout.contains(text), "{args:?}: {ended:?}");
        assert!(!ended.stdout.contains("secret"), "{args:?}: {ended:?}");
    }
    let ended = site.ended(site.dlock(&[]));
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("Usage: dlock <COMMAND>"), "{ended:?}");
}
