//! The contract, by two backends in one process: they share nothing but the directory.

use crate::common::{claim, connect, files, name, permit};
use dlock_core::Mode::{Exclusive, Shared};
use dlock_core::{ErrorKind, Gone, NamePrefix, Page, Predecessor, Queue, Renewal, Requested, Why, Withdrawn};

macro_rules! two_clients {
    ($dir:ident, $a:ident, $b:ident) => {
        let $dir = tempfile::tempdir().unwrap();
        let (mut $a, mut $b) = (connect($dir.path()).await, connect($dir.path()).await);
    };
}

#[tokio::test]
async fn exclusive_claims_are_granted_in_arrival_order_with_growing_tokens() {
    two_clients!(dir, a, b);
    let (first, grant) = a.hold("n", Exclusive).await;
    let (second, third, fourth) =
        (b.wait("n", Exclusive).await, a.wait("n", Exclusive).await, b.wait("n", Exclusive).await);
    assert_eq!(grant.predecessor, None);
    a.release(&first).await;
    let grant2 = b.granted(&second).await;
    assert_eq!(grant2.predecessor, Some(Predecessor::Released));
    assert!(grant2.token > grant.token);
    assert!(a.still_waits(&third).await);
    b.release(&second).await;
    assert!(a.granted(&third).await.token > grant2.token);
    a.release(&third).await;
    b.granted(&fourth).await;
    b.release(&fourth).await;
    assert_eq!(files(dir.path()), [] as [std::path::PathBuf; 0]);
    assert!(a.hold("n", Exclusive).await.1.token > grant2.token);
}

#[tokio::test]
async fn a_try_that_fails_leaves_nothing() {
    two_clients!(dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    let before = files(dir.path());
    assert_eq!(b.tries("n", Exclusive).await, Requested::Refused);
    assert_eq!(a.tries("n", Shared).await, Requested::Refused);
    assert_eq!(files(dir.path()), before);
    a.release(&held).await;
    assert!(matches!(b.tries("n", Exclusive).await, Requested::Held(..)));
}

#[tokio::test]
async fn a_cancelled_waiter_holds_nobody_up() {
    two_clients!(_dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    let (second, third) = (b.wait("n", Exclusive).await, a.wait("n", Exclusive).await);
    assert_eq!(b.backend.withdraw(&second, Why::Cancel).await.unwrap(), Withdrawn::Removed);
    assert_eq!(b.backend.withdraw(&second, Why::Cancel).await.unwrap(), Withdrawn::Absent);
    assert!(a.still_waits(&third).await, "the holder is still there");
    a.release(&held).await;
    a.granted(&third).await;
}

#[tokio::test]
async fn readers_share_and_a_writer_is_not_starved() {
    two_clients!(_dir, a, b);
    let (r1, _) = a.hold("n", Shared).await;
    let (r2, _) = b.hold("n", Shared).await;
    let writer = b.wait("n", Exclusive).await;
    let (r3, r4) = (a.wait("n", Shared).await, b.wait("n", Shared).await);
    b.release(&r2).await;
    assert!(b.still_waits(&writer).await, "one reader is left");
    a.release(&r1).await;
    b.granted(&writer).await;
    assert!(a.still_waits(&r3).await && b.still_waits(&r4).await);
    b.release(&writer).await;
    assert!(a.granted(&r3).await.token != b.granted(&r4).await.token);
}

#[tokio::test]
async fn permits_are_limited_and_a_permit_leaving_out_of_order_admits_the_next() {
    two_clients!(_dir, a, b);
    let (p1, _) = a.hold("n", permit(3)).await;
    let (p2, _) = b.hold("n", permit(3)).await;
    let (p3, _) = a.hold("n", permit(3)).await;
    let (w1, w2, w3) = (b.wait("n", permit(3)).await, a.wait("n", permit(3)).await, b.wait("n", permit(3)).await);
    b.release(&p2).await;
    b.granted(&w1).await;
    assert!(a.still_waits(&w2).await);
    a.backend.withdraw(&w2, Why::Cancel).await.unwrap();
    a.release(&p3).await;
    b.granted(&w3).await;
    a.release(&p1).await;
    a.hold("n", permit(3)).await;
}

#[tokio::test]
async fn modes_that_cannot_be_combined_are_refused() {
    two_clients!(dir, a, b);
    a.hold("n", permit(2)).await;
    let before = files(dir.path());
    for mode in [Exclusive, Shared, permit(3)] {
        let error = b.backend.request(&claim("n", mode), Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("in use as permit of 2"), "{error}");
    }
    assert_eq!(files(dir.path()), before);
    b.hold("n", permit(2)).await;
}

#[tokio::test]
async fn a_request_repeated_answers_for_the_claim_as_it_stands() {
    two_clients!(dir, a, b);
    let one = claim("n", Exclusive);
    let Requested::Held(grant, _) = a.backend.request(&one, Queue::Yes).await.unwrap() else { panic!() };
    let Requested::Held(again, _) = a.backend.request(&one, Queue::No).await.unwrap() else { panic!() };
    assert_eq!(grant, again);
    let two = claim("n", Exclusive);
    for _ in 0..2 {
        assert!(matches!(b.backend.request(&two, Queue::Yes).await.unwrap(), Requested::Queued(_)));
    }
    assert_eq!(files(dir.path()).len(), 2);
    let answers = a.backend.renew(&[one.to_ref(), two.to_ref()]).await;
    assert!(matches!(&answers[0], Ok(Renewal::Alive { grant: Some(same), .. }) if *same == grant));
    assert!(matches!(&answers[1], Ok(Renewal::Gone(Gone::Absent))), "it is the other backend's");
    assert!(matches!(b.backend.renew(&[two.to_ref()]).await[0], Ok(Renewal::Alive { grant: None, .. })));
    a.release(&one.to_ref()).await;
    b.granted(&two.to_ref()).await;
}

#[tokio::test]
async fn a_downgrade_admits_waiting_readers_and_keeps_writers_out() {
    two_clients!(_dir, a, b);
    let (held, grant) = a.hold("n", Exclusive).await;
    let (r1, writer, r2) = (b.wait("n", Shared).await, b.wait("n", Exclusive).await, b.wait("n", Shared).await);
    assert_eq!(a.backend.convert(&held, Shared).await.unwrap(), grant);
    assert_eq!(a.backend.convert(&held, Shared).await.unwrap(), grant, "repeated");
    b.granted(&r1).await;
    assert!(b.still_waits(&writer).await && b.still_waits(&r2).await);
    assert_eq!(a.backend.convert(&held, Exclusive).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(b.backend.convert(&writer, Shared).await.unwrap_err().kind(), ErrorKind::Lost);
    a.release(&held).await;
    b.release(&r1).await;
    b.granted(&writer).await;
}

#[tokio::test]
async fn a_broken_holder_learns_of_it_and_the_next_learns_that_it_vanished() {
    two_clients!(dir, a, b);
    let (held, grant) = a.hold("n", Exclusive).await;
    let waiter = b.wait("n", Exclusive).await;
    assert_eq!(b.backend.withdraw(&held, Why::Break).await.unwrap(), Withdrawn::Removed);
    assert_eq!(a.gone(&held).await, Gone::Absent);
    let next = b.granted(&waiter).await;
    assert_eq!(next.predecessor, Some(Predecessor::Vanished));
    assert!(next.token > grant.token);
    assert_eq!(a.backend.withdraw(&held, Why::Release).await.unwrap(), Withdrawn::Absent);
    assert!(b.holds(&waiter).await, "a stale release frees nobody");
    assert_eq!(a.backend.withdraw(&waiter, Why::Break).await.unwrap(), Withdrawn::Removed);
    assert_eq!(b.gone(&waiter).await, Gone::Absent);
    assert_eq!(files(dir.path()).len(), 0);
    a.hold("n", Exclusive).await;
}

#[tokio::test]
async fn a_broken_waiter_learns_of_it() {
    two_clients!(_dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    let (waiter, behind) = (b.wait("n", Exclusive).await, b.wait("n", Exclusive).await);
    assert_eq!(a.backend.withdraw(&waiter, Why::Break).await.unwrap(), Withdrawn::Removed);
    assert_eq!(b.gone(&waiter).await, Gone::Absent);
    a.release(&held).await;
    assert_eq!(b.granted(&behind).await.predecessor, Some(Predecessor::Released));
}

#[tokio::test]
async fn a_deleted_or_overwritten_claim_is_lost_and_what_cannot_be_read_blocks() {
    two_clients!(dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    std::fs::remove_file(&files(dir.path())[0]).unwrap();
    assert_eq!(a.gone(&held).await, Gone::Absent);
    let (held, _) = a.hold("n", Exclusive).await;
    let path = files(dir.path()).remove(0);
    std::fs::write(&path, "garbage").unwrap();
    assert_eq!(a.gone(&held).await, Gone::Altered);
    assert_eq!(a.backend.withdraw(&held, Why::Release).await.unwrap(), Withdrawn::Absent);
    assert!(path.exists(), "it is not ours any more");
    let error = b.backend.request(&claim("n", Exclusive), Queue::Yes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("not a dlock claim: \"garbage\""), "{error}");
    let state = b.backend.inspect(&name("n")).await.unwrap();
    assert!(state.holders.is_empty());
    let mut stale = state.damaged[0].clone();
    stale.fingerprint.push('x');
    assert_eq!(b.backend.clear_damage(&name("n"), &stale).await.unwrap(), Withdrawn::Absent);
    assert_eq!(b.backend.clear_damage(&name("n"), &state.damaged[0]).await.unwrap(), Withdrawn::Removed);
    assert_eq!(b.backend.clear_damage(&name("n"), &state.damaged[0]).await.unwrap(), Withdrawn::Absent);
    b.hold("n", Exclusive).await;
}

#[tokio::test]
async fn garbage_of_every_kind_blocks_its_name_alone_until_it_is_cleared() {
    two_clients!(dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    let path = files(dir.path()).remove(0);
    let bucket = path.parent().unwrap().to_owned();
    a.release(&held).await;
    let other_format = bucket.join(path.file_name().unwrap());
    for (what, make) in [
        ("a stray file", (&|| std::fs::write(bucket.join("n~stray"), "x").unwrap()) as &dyn Fn()),
        ("a directory", &|| std::fs::create_dir(bucket.join("n~dir")).unwrap()),
        ("a link", &|| std::os::unix::fs::symlink("/dev/zero", &other_format).unwrap()),
        ("a directory as a claim", &|| std::fs::create_dir(&other_format).unwrap()),
        ("a pipe", &|| {
            assert!(std::process::Command::new("mkfifo").arg(&other_format).status().unwrap().success());
        }),
        ("another format", &|| std::fs::write(&other_format, "{\"v\":9,\"id\":1}").unwrap()),
        ("not text", &|| std::fs::write(&other_format, [0xff; 100_000]).unwrap()),
    ] {
        make();
        let error = b.backend.request(&claim("n", Shared), Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}");
        a.hold("m", Shared).await;
        let state = b.backend.inspect(&name("n")).await.unwrap();
        assert_eq!(state.damaged.len(), 1, "{what}");
        assert!(b.backend.list(&NamePrefix::root(), Page::first()).await.unwrap().names.contains(&name("n")), "{what}");
        let cleared = b.backend.clear_damage(&name("n"), &state.damaged[0]).await.unwrap();
        assert_eq!(cleared, Withdrawn::Removed, "{what}");
        let (held, _) = b.hold("n", Exclusive).await;
        b.release(&held).await;
    }
    std::fs::write(bucket.join("README"), "nobody's").unwrap();
    b.hold("n", Exclusive).await;
}

#[tokio::test]
async fn a_waiter_behind_damage_is_granted_when_it_is_cleared() {
    two_clients!(dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    let waiter = b.wait("n", Exclusive).await;
    let path = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("~h")).unwrap();
    std::fs::write(&path, "garbage").unwrap();
    assert_eq!(a.gone(&held).await, Gone::Altered);
    assert!(b.still_waits(&waiter).await, "nobody knows whether it is held");
    let state = a.backend.inspect(&name("n")).await.unwrap();
    assert_eq!((state.damaged.len(), state.waiters.len()), (1, 1));
    a.backend.clear_damage(&name("n"), &state.damaged[0]).await.unwrap();
    b.granted(&waiter).await;
}

#[tokio::test]
async fn a_dead_claim_is_swept_and_its_holder_reported_as_vanished_once() {
    two_clients!(dir, a, b);
    let (_, grant) = a.hold("n", Exclusive).await;
    let waiter = a.wait("n", Exclusive).await;
    let mine = b.wait("n", Exclusive).await;
    drop(a);
    let next = b.granted(&mine).await;
    assert_eq!(next.predecessor, Some(Predecessor::Vanished));
    assert!(next.token > grant.token);
    assert_eq!(b.backend.withdraw(&waiter, Why::Break).await.unwrap(), Withdrawn::Absent);
    assert_eq!(files(dir.path()).len(), 1);
    let after = b.wait("n", Exclusive).await;
    b.release(&mine).await;
    assert_eq!(b.granted(&after).await.predecessor, Some(Predecessor::Released));
}

#[tokio::test]
async fn dead_readers_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let mut client = connect(dir.path()).await;
        client.hold("n", Shared).await;
    }
    assert!(files(dir.path()).len() <= 3, "{:?}", files(dir.path()));
}

#[tokio::test]
async fn inspect_shows_who_holds_and_waits_in_order() {
    two_clients!(_dir, a, b);
    let (held, grant) = a.hold("ünï/🦀", Exclusive).await;
    let (w1, w2) = (b.wait("ünï/🦀", Shared).await, a.wait("ünï/🦀", Exclusive).await);
    let state = b.backend.inspect(&name("ünï/🦀")).await.unwrap();
    assert_eq!(state.holders.len(), 1);
    assert_eq!((&state.holders[0].claim, state.holders[0].token), (&held, Some(grant.token)));
    assert_eq!(state.holders[0].metadata.process, std::process::id());
    let waiters: Vec<_> = state.waiters.iter().map(|info| &info.claim).collect();
    assert_eq!(waiters, [&w1, &w2]);
    a.backend.convert(&held, Shared).await.unwrap();
    b.granted(&w1).await;
    let state = b.backend.inspect(&name("ünï/🦀")).await.unwrap();
    assert_eq!(state.holders.iter().map(|info| info.claim.mode).collect::<Vec<_>>(), [Shared, Shared]);
    assert!(a.backend.inspect(&name("other")).await.unwrap().is_free());
}

#[tokio::test]
async fn names_are_listed_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, b) = (connect(dir.path()).await, connect(dir.path()).await);
    let long = "Ä".repeat(256);
    let mut expected =
        vec![long.clone(), "A".to_owned(), "a".to_owned(), "..".to_owned(), "a/b".to_owned(), "ab".to_owned()];
    expected.extend((0..40).map(|n| format!("many/{n}")));
    for text in &expected {
        a.hold(text, Exclusive).await;
    }
    expected.sort();
    for limit in [1, 7, 1000] {
        let mut found = Vec::new();
        let mut page = Page { cursor: None, limit };
        loop {
            let part = b.backend.list(&NamePrefix::root(), page.clone()).await.unwrap();
            assert!(part.names.len() <= limit);
            found.extend(part.names.iter().map(ToString::to_string));
            match part.cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        found.sort();
        assert_eq!(found, expected, "limit {limit}");
    }
    let below = b.backend.list(&NamePrefix::below(name("a")), Page::first()).await.unwrap();
    let mut below: Vec<_> = below.names.iter().map(ToString::to_string).collect();
    below.sort();
    assert_eq!(below, ["a", "a/b"]);
    let bad = Page { cursor: Some("nonsense".to_owned()), limit: 1 };
    assert_eq!(b.backend.list(&NamePrefix::root(), bad).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn odd_names_never_contend() {
    two_clients!(dir, a, b);
    let longest = "Z".repeat(512);
    let almost = format!("{}Y", "Z".repeat(511));
    let names = ["a", "A", "a/b", "ab", ".", "..", "a/../b", "%", "%41", "a~b", "control", "~new", &longest, &almost];
    let mut held = Vec::new();
    for (at, text) in names.iter().enumerate() {
        let client = if at % 2 == 0 { &mut a } else { &mut b };
        held.push(client.hold(text, Exclusive).await.0);
    }
    assert_eq!(b.tries(&longest, Exclusive).await, Requested::Refused);
    for (at, claim) in held.iter().enumerate() {
        let client = if at % 2 == 0 { &mut a } else { &mut b };
        client.release(claim).await;
    }
    assert_eq!(files(dir.path()).len(), 0);
}

#[tokio::test]
async fn the_directory_deleted_under_us_is_a_loss_and_a_new_epoch() {
    two_clients!(dir, a, b);
    let (held, grant) = a.hold("n", Exclusive).await;
    let waiter = b.wait("n", Exclusive).await;
    std::fs::remove_dir_all(dir.path().join("dlock")).unwrap();
    assert_eq!(a.gone(&held).await, Gone::Absent);
    assert_eq!(b.gone(&waiter).await, Gone::Absent);
    let (_, next) = b.hold("n", Exclusive).await;
    assert_ne!(next.token.epoch, grant.token.epoch);
    assert_eq!(a.tries("n", Exclusive).await, Requested::Refused);
}

#[tokio::test]
async fn a_lost_control_file_changes_the_epoch_and_nobodys_place() {
    two_clients!(dir, a, b);
    let (held, grant) = a.hold("n", Exclusive).await;
    std::fs::remove_file(dir.path().join("dlock/control")).unwrap();
    let waiter = b.wait("n", Exclusive).await;
    assert!(b.still_waits(&waiter).await);
    a.release(&held).await;
    assert_ne!(b.granted(&waiter).await.token.epoch, grant.token.epoch);
}

#[tokio::test]
async fn a_control_lock_that_is_never_let_go_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let config = dlock_file::FileConfig::new(dir.path()).with_request_timeout(std::time::Duration::from_millis(200));
    let mut client = crate::common::try_connect(config).await.unwrap();
    let (held, _) = client.hold("n", Exclusive).await;
    let control = std::fs::File::open(dir.path().join("dlock/control")).unwrap();
    control.lock().unwrap();
    let error = client.backend.request(&claim("m", Exclusive), Queue::Yes).await.unwrap_err();
    assert_eq!((error.kind(), error.landed()), (ErrorKind::Unavailable, dlock_core::Landed::No));
    assert!(error.to_string().contains("another process has kept the control lock"), "{error}");
    client.release(&held).await;
    control.unlock().unwrap();
    client.hold("m", Exclusive).await;
}

#[tokio::test]
async fn use_after_close_is_an_error_and_closing_ends_claims() {
    two_clients!(_dir, a, b);
    let (held, _) = a.hold("n", Exclusive).await;
    a.backend.close().await.unwrap();
    let error = a.backend.request(&claim("m", Exclusive), Queue::Yes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(a.backend.withdraw(&held, Why::Release).await.unwrap_err().kind(), ErrorKind::Closed);
    b.hold("n", Exclusive).await;
}

#[tokio::test]
async fn thousands_of_waiters_in_one_process_are_served_in_order() {
    two_clients!(dir, a, b);
    let (mut held, _) = a.hold("n", Exclusive).await;
    let mut waiters = Vec::new();
    for _ in 0..1500 {
        waiters.push(b.wait("n", Exclusive).await);
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 200, "{threads} threads");
    a.release(&held).await;
    let mut last = 0;
    for waiter in &waiters {
        let token = b.granted(waiter).await.token.value;
        assert!(token > last);
        last = token;
        held = waiter.clone();
        b.release(&held).await;
    }
    assert_eq!(files(dir.path()).len(), 0);
}

#[tokio::test]
async fn a_name_used_ten_thousand_times_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = connect(dir.path()).await;
    for n in 0..10_000 {
        let (held, _) = client.hold(&format!("job/{n}"), Exclusive).await;
        client.release(&held).await;
    }
    assert_eq!(files(dir.path()).len(), 0);
    assert!(std::fs::read_dir(dir.path().join("dlock")).unwrap().count() <= 257);
}
