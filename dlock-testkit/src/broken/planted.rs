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

pub use self::absent_is_final::AbsentIsFinal;
pub use self::clock_after_reply::ClockAfterReply;
pub use self::delete_without_compare::DeleteWithoutCompare;
pub use self::grant_extends_validity::GrantExtendsValidity;
pub use self::no_recheck_after_wake::NoRecheckAfterWake;
pub use self::release_by_object::ReleaseByObject;
pub use self::wrong_token::WrongToken;
use crate::Flaw;

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
        make: || Arc::new(GrantExtendsValidity),
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
        about: "a claim whose request was not answered counts as withdrawn, and lives on by the renewals of the others",
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

    use dlock_core::Locks;
    use dlock_core::memory::Memory;

    use super::*;
    use crate::Faults;
    use crate::reach::{Reach, Requests};

    #[test]
    fn each_is_found_by_its_name() {
        for planted in ALL {
            assert_eq!(find(planted.name).unwrap().about, planted.about);
        }
        assert!(find("no-such-bug").is_none());
    }

    /// Two clients and their owners take turns, without faults.
    #[tokio::test]
    async fn none_of_them_shows_while_nothing_fails() {
        for planted in ALL {
            let store = Memory::new();
            let mut clients = Vec::new();
            for _ in 0..2 {
                let (client, flaw) = (Box::new(store.clone()), (planted.make)());
                let reach = Reach { client, requests: Requests::default(), flaw, faults: Faults::default() };
                clients.push(Locks::builder(reach).ttl(Duration::from_secs(5)).connect().await.unwrap());
            }
            let mut tasks = Vec::new();
            for (number, locks) in clients.iter().cycle().take(6).cloned().enumerate() {
                tasks.push(tokio::spawn(async move {
                    for _ in 0..20 {
                        let lock = locks.owner(format!("owner {number}")).lock("name").unwrap();
                        let guard = lock.acquire_within(Duration::from_secs(60)).await.unwrap().unwrap();
                        assert!(guard.is_held());
                        assert_eq!(locks.inspect("name").await.unwrap().holders.len(), 1);
                        guard.release().await.unwrap();
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap_or_else(|error| panic!("{}: {error}", planted.name));
            }
            for locks in clients {
                assert!(locks.inspect("name").await.unwrap().is_free(), "{}", planted.name);
                locks.close().await.unwrap();
            }
        }
    }
}
