//! Giving back, and closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dlock_core::memory::{Memory, MemoryStore};
use dlock_core::{Error, ErrorKind, Guard, Locks, Owner};
use futures::executor::block_on;
use futures::poll;
use tokio::time::{sleep, timeout};

use crate::scripted::{Call, Fate};
use crate::world::{World, acquire, lock, millis, outcome, seconds, wait_in_line};

#[tokio::test(start_paused = true)]
async fn a_grant_that_a_stopped_future_does_not_collect_is_given_back() {
    let world = World::new();
    let (locks, other) = (world.client(seconds(1)).await, world.client(seconds(1)).await);
    let shared = locks.owner("one").lock("a").unwrap();
    let (mut first, mut stopped) = (Box::pin(shared.acquire()), Box::pin(shared.acquire()));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut stopped).is_pending());
    let guard = first.await.unwrap();
    sleep(seconds(2)).await;
    drop(guard);
    let rival = lock(&other).acquire_within(seconds(20)).await.unwrap();
    let rival = rival.expect("nobody holds it but a future that nobody polls");
    assert!(timeout(seconds(5), &mut stopped).await.is_err(), "it has to ask anew");
    rival.release().await.unwrap();
    assert!(timeout(seconds(5), stopped).await.expect("it is its turn").unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn failing_withdrawals_are_repeated_for_as_long_as_the_client_lives() {
    let world = World::new();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let (locks, calls) = world
        .scripted(seconds(1), move |call, _| match call {
            Call::Withdraw if is_broken.load(Ordering::SeqCst) => Fate::LoseRequest,
            _ => Fate::Pass,
        })
        .await;
    let guard = acquire(&locks).await;
    let released = timeout(seconds(30), guard.release()).await.expect("a release does not wait for ever");
    assert_eq!(released.unwrap_err().kind(), ErrorKind::Unavailable);
    sleep(seconds(60)).await;
    let before = calls.count(Call::Withdraw);
    sleep(seconds(60)).await;
    let repeated = calls.count(Call::Withdraw) - before;
    assert!((30..2000).contains(&repeated), "repeated {repeated} times in a minute, long after the ttl");
    assert_eq!(locks.health().await.unwrap().ending, 1);
    broken.store(false, Ordering::SeqCst);
    sleep(seconds(5)).await;
    assert_eq!(locks.health().await.unwrap().ending, 0);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_although_no_withdrawal_succeeds() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Denied] {
        let world = World::new();
        let (locks, calls) = world
            .scripted(seconds(1), move |call, _| match call {
                Call::Withdraw => Fate::Fail(kind),
                _ => Fate::Pass,
            })
            .await;
        let guard = acquire(&locks).await;
        let waiter = wait_in_line(&locks).await;
        drop(guard);
        timeout(seconds(30), locks.close()).await.expect("it ends when the claims have lapsed").unwrap();
        assert_eq!(outcome(waiter).await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(calls.count(Call::Withdraw) > 2);
        assert_eq!(world.store.count(), 0, "they have lapsed");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_while_the_backend_closes_is_answered_as_closed() {
    let world = World::new();
    let (locks, calls) = world
        .scripted(seconds(30), |call, _| match call {
            Call::Close => Fate::DelayReply(seconds(5)),
            _ => Fate::Pass,
        })
        .await;
    let closing = tokio::spawn({
        let locks = locks.clone();
        async move { locks.close().await }
    });
    sleep(seconds(1)).await;
    assert_eq!(calls.count(Call::Close), 1, "the keeper listens to nobody any more");
    let waiter = wait_in_line(&locks).await;
    let health = timeout(seconds(60), locks.health()).await.expect("it is answered");
    assert_eq!(health.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(outcome(waiter).await.unwrap_err().kind(), ErrorKind::Closed);
    closing.await.unwrap().unwrap();
    assert_eq!(calls.count(Call::Request), 0);
}

/// In real time, on many threads: what joins an attempt that cannot begin ends with it.
#[test]
fn acquires_that_join_each_other_on_a_closed_client_all_end() {
    const THREADS: usize = 4;
    let locks = block_on(Locks::connect(Memory::new())).unwrap();
    let shared = locks.owner("shared").lock("a").unwrap();
    block_on(locks.close()).unwrap();
    let (ended, all_ended) = mpsc::channel();
    for _ in 0..THREADS {
        let (shared, ended) = (shared.clone(), ended.clone());
        thread::spawn(move || {
            let mut kinds = (0..5000).map(|_| block_on(shared.acquire()).map_err(|error| error.kind()));
            let closed = kinds.all(|outcome| outcome.is_err_and(|kind| kind == ErrorKind::Closed));
            ended.send(closed).expect("the test waits for it");
        });
    }
    for _ in 0..THREADS {
        let closed = all_ended.recv_timeout(Duration::from_secs(60)).expect("an acquire waits for ever");
        assert!(closed, "an acquire ended otherwise");
    }
}

/// In real time, on the keeper's own thread: whichever side is quicker, nobody is left waiting.
#[test]
fn every_acquire_ends_when_the_client_is_closed_meanwhile() {
    const THREADS: usize = 8;
    for round in 0..60 {
        let store = MemoryStore::new();
        let locks = block_on(Locks::connect(Memory::on(&store))).unwrap();
        let owner = locks.owner("shared");
        let acquired = Arc::new(AtomicUsize::new(0));
        let (ended, all_ended) = mpsc::channel();
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let (locks, owner, acquired, ended) = (locks.clone(), owner.clone(), acquired.clone(), ended.clone());
                thread::spawn(move || {
                    let error = acquire_until_it_fails(worker, &locks, &owner, &acquired);
                    ended.send(()).expect("the test waits for it");
                    error
                })
            })
            .collect();
        while acquired.load(Ordering::SeqCst) < round {
            assert!(workers.iter().any(|worker| !worker.is_finished()), "nobody acquires any more");
            thread::yield_now();
        }
        block_on(locks.close()).unwrap();
        for _ in 0..THREADS {
            all_ended.recv_timeout(Duration::from_secs(60)).expect("an acquire waits for ever, or panicked");
        }
        for worker in workers {
            assert_eq!(worker.join().unwrap().kind(), ErrorKind::Closed);
        }
        assert_eq!(store.count(), 0);
    }
}

/// One of the ways to acquire, each on a name that others use too.
fn acquire_until_it_fails(worker: usize, locks: &Locks, owner: &Owner, acquired: &AtomicUsize) -> Error {
    let shared = owner.lock("shared").expect("the name is valid");
    let contended = lock(locks);
    for turn in worker.. {
        let guard: Result<Option<Guard>, Error> = block_on(async {
            match turn % 4 {
                0 => shared.acquire().await.map(Some),
                1 => contended.acquire().await.map(Some),
                2 => contended.acquire_within(millis(20)).await,
                _ => contended.try_acquire().await,
            }
        });
        match guard {
            Ok(Some(guard)) => {
                acquired.fetch_add(1, Ordering::SeqCst);
                drop(guard);
            }
            Ok(None) => {}
            // The owner's lease was closed under another thread's guard.
            Err(error) if error.kind() == ErrorKind::Lost => thread::yield_now(),
            Err(error) => return error,
        }
    }
    unreachable!("the turns do not end")
}
