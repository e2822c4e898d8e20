//! Keys deleted, overwritten and filled with garbage under our hands.

use dlock_core::{ErrorKind, Gone, Queue, Renewal, Requested, Why, Withdrawn};

use crate::support::{World, exclusive};

const MAIN: &str = "dlock:{0}:name:a";
const ORDER: &str = "dlock:{0}:order:a";
const DUE: &str = "dlock:{0}:due:a";

#[tokio::test]
async fn garbage_blocks_its_name_until_it_is_cleared() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    for garbage in [
        &["SET", MAIN, "hello"][..],
        &["SET", MAIN, ""],
        &["SET", MAIN, "2 00000000000000000000000000000000 x 5 i - - - {}"],
        &["LPUSH", MAIN, "x"],
        &["SADD", MAIN, "x"],
        &["ZADD", MAIN, "1", "x"],
        &["XADD", MAIN, "*", "a", "b"],
        &["HSET", MAIN, "x", "y"],
        &["HSET", MAIN, "held", "1", "seq", "1", "fate", "-"],
    ] {
        world.run::<redis::Value>(garbage).await;
        for queue in [Queue::Yes, Queue::No] {
            let error = client.backend.request(&exclusive("a"), queue).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{garbage:?}: {error}");
        }
        let state = client.inspect("a").await;
        assert_eq!((state.holders.len(), state.waiters.len(), state.damaged.len()), (0, 0, 1), "{garbage:?}");
        let names = client.backend.list(&dlock_core::NamePrefix::root(), dlock_core::Page::first()).await.unwrap();
        assert_eq!(names.names, std::slice::from_ref(&state.name));

        let mut other = state.damaged[0].clone();
        other.fingerprint = "of something else".to_owned();
        assert_eq!(client.backend.clear_damage(&state.name, &other).await.unwrap(), Withdrawn::Absent);
        let cleared = client.backend.clear_damage(&state.name, &state.damaged[0]).await.unwrap();
        assert_eq!(cleared, Withdrawn::Removed, "{garbage:?}");
        let claim = exclusive("a");
        client.hold(&claim).await;
        client.release(&claim).await;
    }
}

#[tokio::test]
async fn a_claim_changed_underneath_is_reported_at_its_renewal() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    for (surgery, gone) in [
        (&["DEL", MAIN][..], Gone::Absent),
        (&["SET", MAIN, "garbage"], Gone::Altered),
        (&["EVAL", "redis.call('DEL', KEYS[1]); redis.call('LPUSH', KEYS[1], 'x')", "1", MAIN], Gone::Altered),
    ] {
        for with_waiter in [false, true] {
            let (held, waiting) = (exclusive("a"), exclusive("a"));
            client.hold(&held).await;
            if with_waiter {
                client.queue(&waiting).await;
            }
            world.run::<redis::Value>(surgery).await;
            assert_eq!(client.renew(&held).await, Renewal::Gone(gone), "{surgery:?}");
            if with_waiter {
                assert_eq!(client.renew(&waiting).await, Renewal::Gone(gone), "{surgery:?}");
            }
            assert_eq!(client.backend.withdraw(&held.to_ref(), Why::Release).await.unwrap(), Withdrawn::Absent);
            world.run::<()>(&["DEL", MAIN]).await;
            let next = exclusive("a");
            client.hold(&next).await;
            client.release(&next).await;
        }
    }
}

#[tokio::test]
async fn a_queue_that_lost_a_part_is_blocked_not_granted_twice() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    for surgery in [&["DEL", ORDER][..], &["DEL", DUE], &["HDEL", MAIN, "held"], &["HSET", MAIN, "held", "9"]] {
        let (held, waiting) = (exclusive("a"), exclusive("a"));
        client.hold(&held).await;
        client.queue(&waiting).await;
        world.run::<redis::Value>(surgery).await;
        assert_eq!(client.renew(&held).await, Renewal::Gone(Gone::Altered), "{surgery:?}");
        let error = client.backend.request(&exclusive("a"), Queue::Yes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{surgery:?}");
        let state = client.inspect("a").await;
        assert_eq!(state.damaged.len(), 1, "{surgery:?}");
        client.backend.clear_damage(&state.name, &state.damaged[0]).await.unwrap();
        assert!(client.inspect("a").await.is_free());
    }
}

#[tokio::test]
async fn one_damaged_entry_of_a_queue_is_cleared_alone() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let (held, broken, last) = (exclusive("a"), exclusive("a"), exclusive("a"));
    client.hold(&held).await;
    client.queue(&broken).await;
    client.queue(&last).await;
    world.run::<()>(&["HSET", MAIN, &broken.id.to_string(), "garbage"]).await;
    assert_eq!(client.renew(&broken).await, Renewal::Gone(Gone::Altered));
    let state = client.inspect("a").await;
    assert_eq!((state.holders.len(), state.waiters.len(), state.damaged.len()), (1, 1, 1));
    client.release(&held).await;
    assert_eq!(client.inspect("a").await.holders.len(), 0, "the damaged entry blocks the name");
    let error = client.backend.request(&exclusive("a"), Queue::No).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let cleared = client.backend.clear_damage(&state.name, &state.damaged[0]).await.unwrap();
    assert_eq!(cleared, Withdrawn::Removed);
    client.granted(&last).await;
}

#[tokio::test]
async fn leftovers_of_a_deleted_queue_do_not_come_back() {
    let Some(world) = World::start().await else { return };
    let mut client = world.client().await;
    let (old, ghost) = (exclusive("a"), exclusive("a"));
    client.hold(&old).await;
    client.queue(&ghost).await;
    world.run::<()>(&["DEL", MAIN]).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let (held, waiting) = (exclusive("a"), exclusive("a"));
    client.hold(&held).await;
    client.queue(&waiting).await;
    let requested = client.backend.request(&exclusive("a"), Queue::No).await.unwrap();
    assert_eq!(requested, Requested::Refused);
    assert_eq!(client.inspect("a").await.waiters.len(), 1);
    client.release(&held).await;
    client.granted(&waiting).await;
}
