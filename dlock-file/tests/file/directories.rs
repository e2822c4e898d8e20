//! Directories that cannot be used, and what is said about them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{claim, connect, files, try_connect};
use dlock_core::Mode::{Exclusive, Shared};
use dlock_core::{Capability, Error, ErrorKind, Predecessor, Queue, Requested, Why};
use dlock_file::FileConfig;

const ROLE: &str = "DLOCK_FILE_TEST_ROLE";
const DIR: &str = "DLOCK_FILE_TEST_DIR";

/// Not a test of its own: what runs inside a file system or as a user made for it.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = std::path::PathBuf::from(std::env::var(DIR).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match role.as_str() {
        "connect" => match runtime.block_on(try_connect(FileConfig::new(&dir))) {
            Ok(_) => println!("child: connected"),
            Err(error) => println!("child: {:?} {error}", error.kind()),
        },
        "fill" => runtime.block_on(fill(&dir)),
        "poll" => runtime.block_on(poll(&dir)),
        other => panic!("unknown role {other}"),
    }
}

/// Acquires until the file system is full, then shows that nothing half made is in the way.
async fn fill(dir: &Path) {
    let client = connect(dir).await;
    let mut held = Vec::new();
    let error = loop {
        let next = claim(&format!("n{}", held.len()), Exclusive);
        match client.backend.request(&next, Queue::Yes).await {
            Ok(Requested::Held(..)) => held.push(next.to_ref()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    println!("child: {:?} {:?} {error}", error.kind(), error.landed());
    assert_eq!(files(dir).len(), held.len(), "the one that failed left nothing");
    for claim in &held {
        client.backend.withdraw(claim, Why::Release).await.unwrap();
    }
    assert_eq!(files(dir).len(), 0);
    let again = claim(&format!("n{}", held.len()), Exclusive);
    assert!(matches!(client.backend.request(&again, Queue::Yes).await.unwrap(), Requested::Held(..)));
    println!("child: {} claims", held.len());
}

/// Waits and downgrades where nothing is pushed.
async fn poll(dir: &Path) {
    let (mut a, mut b) = (connect(dir).await, connect(dir).await);
    let capabilities = a.backend.info().capabilities;
    assert!(!capabilities.has(Capability::Push) && !capabilities.has(Capability::PushLoss), "inotify was not refused");
    let (held, _) = a.hold("n", Exclusive).await;
    let (reader, writer, local) = (b.wait("n", Shared).await, b.wait("n", Exclusive).await, a.wait("n", Shared).await);
    a.backend.convert(&held, Shared).await.unwrap();
    b.granted(&reader).await;
    a.release(&held).await;
    assert!(b.still_waits(&writer).await);
    b.release(&reader).await;
    b.granted(&writer).await;
    b.backend.close().await.unwrap();
    assert_eq!(a.granted(&local).await.predecessor, Some(Predecessor::Vanished));
    println!("child: granted by polling");
}

/// Runs a role of [`child`] behind a shell script that ends in `exec "$@"`; `None` when the machine
/// does not allow it, which is printed.
fn run(script: &str, role: &str, dir: &Path) -> Option<String> {
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script, "sh"])
        .arg(exe)
        .args(["--exact", "directories::child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIR, dir)
        .env("RUST_BACKTRACE", "0")
        .output();
    let (said, problem) = match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let said: String = text
                .lines()
                .filter_map(|line| line.split_once("child: "))
                .map(|(_, said)| format!("{said}\n"))
                .collect();
            (said, format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => (String::new(), error.to_string()),
    };
    if said.is_empty() {
        assert!(!problem.contains("panicked"), "{problem}");
        println!("SKIPPED, this needs the privilege to mount and to change the user: {}", problem.trim());
        return None;
    }
    assert!(!problem.contains("panicked"), "{problem}");
    Some(said)
}

async fn refusal(dir: impl AsRef<Path>) -> Error {
    match try_connect(FileConfig::new(dir.as_ref())).await {
        Ok(_) => panic!("{} was accepted", dir.as_ref().display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_path_that_is_no_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = refusal(&path).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("cannot use the lock directory"), "{error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
    assert!(refusal("").await.to_string().contains("path is empty"));
    let error = refusal("/proc/dlock").await;
    assert!(error.to_string().contains("cannot use the lock directory /proc/dlock"), "{error}");
}

#[tokio::test]
async fn a_timeout_of_zero_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = FileConfig::new(dir.path()).with_request_timeout(Duration::ZERO);
    assert_eq!(try_connect(config).await.err().unwrap().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_missing_directory_is_made() {
    let dir = tempfile::tempdir().unwrap();
    connect(&dir.path().join("a/b/c")).await.hold("n", Exclusive).await;
    assert_eq!(files(&dir.path().join("a/b/c")).len(), 1);
}

#[tokio::test]
async fn a_control_file_of_something_else_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("dlock/control");
    std::fs::create_dir(dir.path().join("dlock")).unwrap();
    for (content, why) in
        [("hello", "not a control file of dlock"), ("{\"v\":7}", "has format 7, this dlock knows format 1")]
    {
        std::fs::write(&control, content).unwrap();
        let error = refusal(dir.path()).await;
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(std::fs::read_to_string(&control).unwrap(), content);
    }
}

#[tokio::test]
async fn a_control_file_that_turns_to_garbage_is_an_error_and_no_second_holder() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, b) = (connect(dir.path()).await, connect(dir.path()).await);
    let (held, _) = a.hold("n", Exclusive).await;
    std::fs::write(dir.path().join("dlock/control"), "garbage").unwrap();
    for client in [&a, &b] {
        let error = client.backend.request(&claim("n", Exclusive), Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
    assert!(a.holds(&held).await);
    a.release(&held).await;
    assert_eq!(files(dir.path()).len(), 0);
}

#[tokio::test]
async fn a_file_in_place_of_a_bucket_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    let (held, _) = client.hold("n", Exclusive).await;
    let bucket = files(dir.path())[0].parent().unwrap().to_owned();
    client.release(&held).await;
    std::fs::remove_dir(&bucket).unwrap();
    std::fs::write(&bucket, "x").unwrap();
    let error = client.backend.request(&claim("n", Exclusive), Queue::Yes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    std::fs::remove_file(&bucket).unwrap();
    client.hold("n", Exclusive).await;
}

#[test]
fn a_read_only_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount --bind \"$DLOCK_FILE_TEST_DIR\" \"$DLOCK_FILE_TEST_DIR\"
        mount -o remount,bind,ro \"$DLOCK_FILE_TEST_DIR\"; exec \"$@\"";
    let Some(said) = run(script, "connect", dir.path()) else { return };
    assert!(said.starts_with("Exhausted "), "{said}");
    assert!(said.contains("must be writable"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_turned_read_only_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dlock")).unwrap();
    std::fs::write(dir.path().join("dlock/control"), "").unwrap();
    let script = "mount --bind \"$DLOCK_FILE_TEST_DIR\" \"$DLOCK_FILE_TEST_DIR\"
        mount -o remount,bind,ro \"$DLOCK_FILE_TEST_DIR\"; exec \"$@\"";
    let Some(said) = run(script, "connect", dir.path()) else { return };
    assert!(said.starts_with("Exhausted cannot open "), "{said}");
}

#[test]
fn a_full_file_system_is_an_error_that_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=200k tmpfs \"$DLOCK_FILE_TEST_DIR\"; exec \"$@\"";
    let Some(said) = run(script, "fill", dir.path()) else { return };
    assert!(said.starts_with("Exhausted No "), "{said}");
    assert!(said.contains("make room") && said.trim_end().ends_with(" claims"), "{said}");
}

#[test]
fn a_file_system_without_room_for_the_control_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8k tmpfs \"$DLOCK_FILE_TEST_DIR\"
        dd if=/dev/zero of=\"$DLOCK_FILE_TEST_DIR/full\" bs=4k count=2 2>/dev/null; exec \"$@\"";
    let Some(said) = run(script, "connect", dir.path()) else { return };
    assert!(said.starts_with("Exhausted ") && said.contains("make room"), "{said}");
}

#[test]
fn a_directory_of_another_user_is_denied() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let script = "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let Some(said) = run(script, "connect", dir.path()) else { return };
    assert!(said.starts_with("Denied cannot use the lock directory"), "{said}");
    assert!(said.contains("permission"), "{said}");
}

#[test]
fn where_no_inotify_instance_is_left_waiters_poll() {
    let dir = tempfile::tempdir().unwrap();
    let script = "exec unshare --user --map-root-user sh -ec \
        'echo 0 >/proc/sys/user/max_inotify_instances; exec \"$@\"' sh \"$@\"";
    let Some(said) = run(script, "poll", dir.path()) else { return };
    assert_eq!(said, "granted by polling\n");
}
