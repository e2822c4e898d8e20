//! What may happen between any two system calls of somebody else.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{claim, connect, files, name};
use dlock_core::Mode::{Exclusive, Shared};
use dlock_core::{Capability, Gone, Predecessor, Queue, Requested, Why};

#[test]
fn a_release_in_the_middle_of_a_look_is_not_taken_for_a_death() {
    let dir = tempfile::tempdir().unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                on_a_runtime(async {
                    let mut client = connect(dir.path()).await;
                    while Instant::now() < deadline {
                        for queue in [Queue::No, Queue::Yes] {
                            let claim = claim("n", Exclusive);
                            let grant = match client.backend.request(&claim, queue).await.unwrap() {
                                Requested::Held(grant, _) => grant,
                                Requested::Queued(_) => client.granted(&claim.to_ref()).await,
                                Requested::Refused => continue,
                            };
                            assert_ne!(grant.predecessor, Some(Predecessor::Vanished), "nobody has died");
                            client.release(&claim.to_ref()).await;
                        }
                    }
                });
            });
        }
    });
}

#[test]
fn a_directory_deleted_over_and_over_never_has_two_holders() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("dlock");
    let (connected, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let deadline = Instant::now() + Duration::from_secs(4);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A client that connects in the moment of a deletion is refused, and not what is tried here.
            while !connected.load(Ordering::Acquire) && Instant::now() < deadline {
                thread::yield_now();
            }
            while !done.load(Ordering::Relaxed) && Instant::now() < deadline + Duration::from_secs(5) {
                let _ = std::fs::remove_dir_all(&own);
                // A round takes about as long.
                thread::sleep(Duration::from_micros(100));
            }
        });
        scope.spawn(|| {
            on_a_runtime(async {
                let (mut a, mut b) = (connect(dir.path()).await, connect(dir.path()).await);
                connected.store(true, Ordering::Release);
                let mut rounds = 0;
                while Instant::now() < deadline {
                    let both = (claim("n", Exclusive), claim("n", Exclusive));
                    let first = thread::scope(|inner| {
                        let mine = inner.spawn(|| on_a_runtime(a.backend.request(&both.0, Queue::No)));
                        let theirs = inner.spawn(|| on_a_runtime(b.backend.request(&both.1, Queue::No)));
                        (mine.join().unwrap(), theirs.join().unwrap())
                    });
                    let held = |answer: &dlock_core::Result<Requested>| matches!(answer, Ok(Requested::Held(..)));
                    if held(&first.0) && held(&first.1) {
                        rounds += 1;
                        // The second may have come after the first one's file was deleted: then the
                        // first knows that it has lost.
                        let (mine, theirs) = (a.holds(&both.0.to_ref()).await, b.holds(&both.1.to_ref()).await);
                        assert!(!(mine && theirs), "both hold, and both files are there");
                    }
                    for (client, claim) in [(&mut a, &both.0), (&mut b, &both.1)] {
                        let _ = client.backend.withdraw(&claim.to_ref(), Why::Release).await;
                    }
                }
                println!("{rounds} rounds in which the directory was deleted between the two");
                done.store(true, Ordering::Relaxed);
            });
        });
    });
}

#[tokio::test]
async fn a_link_in_the_way_of_a_break_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (connect(dir.path()).await, connect(dir.path()).await);
    let (held, _) = a.hold("n", Exclusive).await;
    let waiter = b.wait("n", Exclusive).await;
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let bucket = holder_file(dir.path()).parent().unwrap().to_owned();
    std::os::unix::fs::symlink(&victim, bucket.join("~new")).unwrap();
    b.backend.withdraw(&held, Why::Break).await.unwrap();
    assert_eq!(b.granted(&waiter).await.predecessor, Some(Predecessor::Vanished));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

#[tokio::test]
async fn a_waiter_whose_file_was_replaced_is_not_granted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (connect(dir.path()).await, connect(dir.path()).await);
    let (held, _) = a.hold("n", Exclusive).await;
    let waiter = b.wait("n", Exclusive).await;
    let path = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("~w~")).unwrap();
    let copy = dir.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    a.release(&held).await;
    assert_eq!(b.gone(&waiter).await, Gone::Absent);
    a.hold("n", Exclusive).await;
}

#[tokio::test]
async fn a_waiter_behind_damage_sleeps_until_it_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (connect(dir.path()).await, connect(dir.path()).await);
    assert!(a.backend.info().capabilities.has(Capability::Push), "this is about pushes");
    let (held, _) = a.hold("n", Exclusive).await;
    let waiter = b.wait("n", Shared).await;
    std::fs::write(holder_file(dir.path()), "garbage").unwrap();
    assert_eq!(a.gone(&held).await, Gone::Altered);
    assert!(b.still_waits(&waiter).await);
    let control = dir.path().join("dlock/control");
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Nobody uses the directory but the waiter: whoever judges a claim reads the control file.
    let entered = Reads::of(&control, Duration::from_secs(2)).await;
    assert!(entered <= 20, "it looked {entered} times in two seconds");
    let state = a.backend.inspect(&name("n")).await.unwrap();
    a.backend.clear_damage(&name("n"), &state.damaged[0]).await.unwrap();
    b.granted(&waiter).await;
}

/// How often somebody reads a file, as inotify tells.
struct Reads;

impl Reads {
    async fn of(path: &Path, time: Duration) -> usize {
        use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
        let watcher = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watcher, path, WatchFlags::ACCESS).unwrap();
        let mut count = 0;
        let start = Instant::now();
        while start.elapsed() < time {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(&watcher, &mut buffer);
            // Reads that nobody collected between two are told as one.
            while reader.next().is_ok() {
                count += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        count
    }
}

fn holder_file(dir: &Path) -> PathBuf {
    files(dir).into_iter().find(|path| path.to_string_lossy().contains("~h")).unwrap()
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
