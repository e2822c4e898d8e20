//! Many owners on one name through whole clients, while connections are cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use dlock_core::{Locks, Mode, Token};

use crate::support::World;

const CLIENTS: usize = 3;
const TASKS: usize = 6;
const ROUNDS: u32 = 25;

/// What the lock guards.
#[derive(Default)]
struct Resource {
    busy: AtomicBool,
    visits: AtomicU32,
    highest: std::sync::Mutex<Option<Token>>,
}

impl Resource {
    async fn visit(&self, token: Token) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two holders at once");
        let before = self.highest.lock().unwrap().replace(token);
        assert!(before.is_none_or(|before| token > before), "{token:?} after {before:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.visits.fetch_add(1, Ordering::SeqCst);
        self.busy.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nobody_and_admit_nobody_twice() {
    let Some(world) = World::start().await else { return };
    let resource = Arc::new(Resource::default());
    let mut clients = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let locks = Locks::builder(world.config()).ttl(Duration::from_secs(20)).connect().await.unwrap();
        for _ in 0..TASKS {
            let (lock, resource) = (locks.lock("soak").unwrap(), resource.clone());
            assert_eq!(lock.mode(), Mode::Exclusive);
            tasks.spawn(async move {
                for _ in 0..ROUNDS {
                    let guard = lock.acquire().await.unwrap();
                    resource.visit(guard.token().unwrap()).await;
                    guard.release().await.unwrap();
                }
            });
        }
        clients.push(locks);
    }
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for kind in ["normal", "pubsub"] {
            world.run::<redis::Value>(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
    }
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("everybody gets a turn");
    assert_eq!(resource.visits.load(Ordering::SeqCst), CLIENTS as u32 * TASKS as u32 * ROUNDS);
    for locks in clients {
        locks.close().await.unwrap();
    }
    assert_eq!(world.keys().await, ["dlock:{0}:tokens"]);
}
