//! Bugs as they are found in lock libraries, for a chaos run to catch: none of them shows in a test
//! without faults.
//!
//! Each process of a run makes its own instance, as each would have its own copy of the bug. The
//! locks go on working but for the bug: names are acquired and released, waiters are served.

mod absent_is_final;
mod clock_after_reply;
mod delete_without_compare;
mod grant_extends_validity;
mod no_recheck_after_wake;
mod release_by_object;
#[cfg(test)]
mod scene;
mod wrong_token;

use std::sync::Arc;

use dlock_core::Connect;

pub use self::absent_is_final::AbsentIsFinal;
pub use self::clock_after_reply::ClockAfterReply;
pub use self::delete_without_compare::DeleteWithoutCompare;
pub use self::grant_extends_validity::GrantExtendsValidity;
pub use self::no_recheck_after_wake::NoRecheckAfterWake;
pub use self::release_by_object::ReleaseByObject;
pub use self::wrong_token::WrongToken;
use crate::reach::{Reach, Requests};
use crate::{Faults, Flaw};

/// A bug that a chaos run must catch.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Its name, as the command takes it.
    pub name: &'static str,
    /// What is wrong, in a few words.
    pub about: &'static str,
    /// Makes it, once per process.
    pub make: fn() -> Arc<dyn Flaw>,
}

impl Planted {
    /// A client with the bug in it.
    #[must_use]
    pub fn plant(&self, client: Box<dyn Connect>) -> Box<dyn Connect> {
        let (requests, faults) = (Requests::default(), Faults::default());
        Box::new(Reach { client, requests, flaw: (self.make)(), faults })
    }
}

/// All of them.
pub const ALL: &[Planted] = &[
    Planted {
        name: "clock-after-reply",
        about: "validity is counted from the reply to a renewal instead of from its sending",
        make: || Arc::new(ClockAfterReply),
    },
    Planted {
        name: "grant-extends-validity",
        about: "a grant is counted as a renewal of the session, whose timer it did not reset (where claims share one)",
        make: || Arc::new(GrantExtendsValidity::default()),
    },
    Planted {
        name: "delete-without-compare",
        about: "a release removes whatever claim holds the name",
        make: || Arc::new(DeleteWithoutCompare),
    },
    Planted {
        name: "wrong-token",
        about: "tokens are counted by each client, from the last that it saw of the service",
        make: || Arc::new(WrongToken::default()),
    },
    Planted {
        name: "absent-is-final",
        about: "a claim whose request was not answered soon counts as withdrawn, and lives on by the renewals of the others",
        make: || Arc::new(AbsentIsFinal::default()),
    },
    Planted {
        name: "release-by-object",
        about: "all acquisitions of one owner on one name have the same id, so that a late release of one ends the next",
        make: || Arc::new(ReleaseByObject::default()),
    },
    Planted {
        name: "no-recheck-after-wake",
        about: "a waiter takes the name when the claim before it goes, though that may have been a waiter too",
        make: || Arc::new(NoRecheckAfterWake::default()),
    },
];

/// The one of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Planted> {
    ALL.iter().find(|planted| planted.name == name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dlock_core::memory::Memory;
    use dlock_core::{ClaimId, Locks, Namespace};

    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for planted in ALL {
            assert_eq!(find(planted.name).unwrap().about, planted.about);
        }
        assert!(find("no-such-bug").is_none());
    }

    #[tokio::test]
    async fn none_shows_on_the_memory_backend_while_nothing_fails() {
        let store = Memory::new();
        take_turns(|| Box::new(store.clone())).await;
    }

    #[cfg(feature = "file")]
    #[tokio::test]
    async fn none_shows_on_files_while_nothing_fails() {
        let dir = tempfile::tempdir().unwrap();
        take_turns(|| Box::new(dlock_file::FileConfig::new(dir.path()))).await;
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn none_shows_on_redis_while_nothing_fails() {
        let Ok(server) = crate::servers::redis().await else { return };
        take_turns(|| crate::stores::open(server.url()).unwrap().client()).await;
    }

    #[cfg(feature = "etcd")]
    #[tokio::test]
    async fn none_shows_on_etcd_while_nothing_fails() {
        let Ok(server) = crate::servers::etcd().await else { return };
        take_turns(|| crate::stores::open(server.url()).unwrap().client()).await;
    }

    /// Two clients of each bug and their owners hold a name in turn, once for longer than the ttl.
    async fn take_turns(client: impl Fn() -> Box<dyn Connect>) {
        let tries = ALL.iter().map(|planted| take_turns_with(planted, [client(), client()]));
        futures::future::join_all(tries).await;
    }

    async fn take_turns_with(planted: &Planted, clients: [Box<dyn Connect>; 2]) {
        const TTL: Duration = Duration::from_secs(4);
        let namespace: Namespace = ClaimId::random().to_string().parse().unwrap();
        let connect = |client| Locks::builder(planted.plant(client)).namespace(namespace.clone()).ttl(TTL).connect();
        let clients = futures::future::try_join_all(clients.map(connect)).await.unwrap();
        let owners = clients.iter().cycle().take(6).enumerate().map(|(number, locks)| async move {
            for turn in 0..10 {
                let lock = locks.owner(format!("owner {number}")).lock("name").unwrap();
                let guard = lock.acquire_within(TTL * 20).await.unwrap().unwrap();
                if (number, turn) == (0, 5) {
                    tokio::time::sleep(TTL * 5 / 4).await;
                }
                assert_eq!(locks.inspect("name").await.unwrap().holders.len(), 1, "{}", planted.name);
                guard.release().await.unwrap_or_else(|error| panic!("{}: {error}", planted.name));
            }
        });
        futures::future::join_all(owners).await;
        for locks in clients {
            assert!(locks.inspect("name").await.unwrap().is_free(), "{}", planted.name);
            locks.close().await.unwrap();
        }
    }
}
