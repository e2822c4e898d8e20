use std::process::{Command, Stdio};

use crate::site::{DLOCK, Site, eventually};

#[test]
fn holders_and_waiters_are_shown_in_order() {
    let site = Site::new();
    assert_eq!(site.show("a"), "a: free\n");
    let holder = site.hold(&["--label", "níghtly \x1b[31mred", "a"]);
    let waiters: Vec<_> = ["first", "second"]
        .into_iter()
        .zip(["1 waiting", "2 waiting"])
        .map(|(label, shown)| {
            let waiter = site.start(site.job(&["--shared", "--label", label, "a"], "true"));
            site.wait_until_shown("a", shown);
            waiter
        })
        .collect();

    let shown = site.show("a");
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], "a: held, 2 waiting");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["STATE", "TOKEN", "MODE", "LABEL", "HOST", "PROCESS", "AGE", "EXPIRES", "CLAIM"]
    );
    assert!(lines[2].starts_with("holds    1      exclusive  níghtly \u{fffd}[31mred  "), "{shown}");
    assert!(lines[2].contains(&format!("  {}  ", holder.pid().as_raw_nonzero())), "{shown}");
    assert!(lines[3].starts_with("waits 1  -      shared     first "), "{shown}");
    assert!(lines[4].starts_with("waits 2  -      shared     second "), "{shown}");
    let claims = lines[1].find("CLAIM").unwrap();
    for line in &lines[2..] {
        assert_eq!(line.chars().skip(claims).filter(char::is_ascii_hexdigit).count(), 32, "columns line up: {shown}");
    }

    site.finish();
    holder.ended();
    for waiter in waiters {
        assert_eq!(waiter.ended().code, Some(0));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let site = Site::new();
    let mut command = Command::new("sh");
    // The reader has gone before anything is written.
    command.args(["-c", r#"{ sleep 0.2; "$0" show a; echo $? >code; } | true"#, DLOCK]);
    site.settle(&mut command);
    let ended = command.stderr(Stdio::piped()).output().unwrap();
    eventually("dlock has ended", || site.read("code").ends_with('\n'));
    assert_eq!((&*site.read("code"), &*ended.stderr), ("0\n", &b""[..]));
}

#[test]
fn the_label_is_the_option_the_urls_or_the_commands() {
    let site = Site::new();
    let url = format!("{}?ttl=9s&label=web1", site.backend());
    for (options, label) in
        [(&[][..], "sh"), (&["--backend", &url], "web1"), (&["--backend", &url, "--label", "mine"], "mine")]
    {
        let ended = site.ended(site.job(&[options, &["a"]].concat(), &format!("{} show a", crate::site::DLOCK)));
        assert!(ended.stdout.contains(&format!("exclusive  {label} ")), "{label}: {ended:?}");
    }
}
