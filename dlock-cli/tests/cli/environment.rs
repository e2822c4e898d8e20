use std::fs::File;

use crate::site::Site;

const TELL: &str = r#"echo "$DLOCK_NAME|$DLOCK_TOKEN|$DLOCK_EPOCH|$DLOCK_OWNER""#;

#[test]
fn the_job_learns_what_it_holds() {
    let site = Site::new();
    let shown = format!("{TELL}; {} show 'a b/c' | grep -q \" $DLOCK_TOKEN .*$DLOCK_OWNER\"", crate::site::DLOCK);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let ended = site.ended(site.job(&["a b/c"], &shown));
        assert_eq!(ended.code, Some(0), "show says the same: {ended:?}");
        let [name, token, epoch, owner] = fields(&ended.stdout);
        assert_eq!(name, "a b/c");
        assert!(epoch.parse::<u64>().is_ok() && owner.len() == 32, "{ended:?}");
        tokens.push(token.parse::<u64>().unwrap());
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

#[test]
fn the_innermost_of_nested_runs_counts() {
    let site = Site::new();
    let ended =
        site.ended(site.job(&["outer"], &format!("{TELL}; {} run inner -- sh -c '{TELL}'", crate::site::DLOCK)));
    let lines: Vec<_> = ended.stdout.lines().map(fields).collect();
    assert_eq!((&*lines[0][0], &*lines[1][0]), ("outer", "inner"));
    assert_ne!(lines[0][3], lines[1][3], "each is a claim of its own");
}

#[test]
fn the_jobs_input_and_output_are_dlocks_own() {
    let site = Site::new();
    std::fs::write(site.path("input"), "some\0input\n").unwrap();
    let mut command = site.job(&["a"], "cat; echo problem >&2");
    command.stdin(File::open(site.path("input")).unwrap());
    let ended = site.ended(command);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("some\0input\n", "problem\n"));
}

#[test]
fn arguments_reach_the_command_as_they_are() {
    let site = Site::new();
    let ended = site.ended(site.dlock(&["run", "a", "--", "printf", "<%s>", "$HOME", "a  b", "*", "--", "-x"]));
    assert_eq!(ended.stdout, "<$HOME><a  b><*><--><-x>");
}

/// In the user's own directory on this machine, under a name that nobody else uses.
#[test]
fn without_a_backend_locks_are_this_users_on_this_machine() {
    let site = Site::new();
    let name = format!("dlock-cli/test {}", std::process::id());
    let mut command = site.job(&[&name], &format!("{} run --no-wait '{name}' -- true", crate::site::DLOCK));
    command.env_remove("DLOCK_BACKEND").env("XDG_RUNTIME_DIR", site.path("session")).env("TMPDIR", site.path("tmp"));
    let ended = site.ended(command);
    assert_eq!(ended.code, Some(75), "the inner run is refused: {ended:?}");
    assert!(ended.stderr.contains("it is held by sh ("), "{ended:?}");
    assert!(!site.path("session").exists() && !site.path("tmp").exists());
}

fn fields(line: &str) -> [String; 4] {
    let fields: Vec<_> = line.trim_end().split('|').map(String::from).collect();
    fields.try_into().expect("four fields")
}
