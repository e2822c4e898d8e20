//! The members of a cluster: how each is reached, and which one is asked.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

/// Not more often than a server allows by default (`--grpc-keepalive-min-time`, 5 s), and only while
/// a stream is open, as it demands.
const PING_EVERY: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// All members that are known, of which one is asked until it fails. The client library spreads
/// requests over its endpoints and does not skip dead ones, so each member has a client of its own.
pub(crate) struct Members {
    members: Vec<Member>,
    /// Where a connection can have no timers.
    plain: ConnectOptions,
    bounded: ConnectOptions,
    choice: Mutex<Choice>,
    generation: watch::Sender<u64>,
}

struct Member {
    address: String,
    /// Replaced when the member fails: a connection that nothing comes from any more would be kept
    /// for as long as nobody notices.
    client: Mutex<Arc<OnceCell<Client>>>,
    heard: Arc<Mutex<Option<Instant>>>,
}

/// The member to ask, while its generation lasts.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) generation: u64,
    pub(crate) address: String,
    client: Arc<OnceCell<Client>>,
    options: ConnectOptions,
    heard: Arc<Mutex<Option<Instant>>>,
}

impl Members {
    /// `options` has the login and TLS; connecting is given up after `patience`.
    pub(crate) fn new(addresses: Vec<String>, options: ConnectOptions, patience: Duration) -> Self {
        // A member that lost its cluster says so, instead of serving what it knew.
        let plain = options.with_require_leader(true).with_auto_token_refresh(true);
        let bounded = plain
            .clone()
            .with_connect_timeout(patience)
            .with_keep_alive(PING_EVERY, PING_TIMEOUT)
            .with_keep_alive_while_idle(false);
        let choice = Choice::among(addresses.len(), fastrand::usize(..addresses.len()));
        let (generation, _) = watch::channel(choice.generation);
        let members = addresses
            .into_iter()
            .map(|address| Member { address, client: Mutex::default(), heard: Arc::default() })
            .collect();
        Self { members, plain, bounded, choice: Mutex::new(choice), generation }
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    /// The member to ask.
    pub(crate) fn present(&self) -> Present {
        let choice = self.choice();
        self.member(choice.present, choice.generation)
    }

    /// Every member, to be asked whether it is there.
    pub(crate) fn all(&self) -> Vec<Present> {
        let generation = self.choice().generation;
        (0..self.count()).map(|index| self.member(index, generation)).collect()
    }

    /// Only these answered: begins with one of them, and comes to the others last.
    pub(crate) fn prefer(&self, answered: &[usize]) {
        let mut choice = self.choice();
        if let Some(first) = fastrand::choice(answered) {
            choice.begin(*first, answered);
        }
    }

    /// The member that was asked in `generation` has failed: moves on, unless others have noticed
    /// before and moved on already.
    pub(crate) fn fail(&self, generation: u64) {
        let mut choice = self.choice();
        if choice.generation != generation {
            return;
        }
        *self.members[choice.present].slot() = Arc::default();
        choice.move_on();
        tracing::debug!(member = self.members[choice.present].address, "asking another member of etcd");
        self.generation.send_replace(choice.generation);
    }

    /// Changes with each move to another member.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// How to connect without timers.
    pub(crate) fn plain_options(&self) -> ConnectOptions {
        self.plain.clone()
    }

    fn member(&self, index: usize, generation: u64) -> Present {
        let member = &self.members[index];
        Present {
            generation,
            address: member.address.clone(),
            client: member.slot().clone(),
            options: self.bounded.clone(),
            heard: member.heard.clone(),
        }
    }

    fn choice(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().expect("no panic while locked")
    }
}

impl Member {
    fn slot(&self) -> MutexGuard<'_, Arc<OnceCell<Client>>> {
        self.client.lock().expect("no panic while locked")
    }
}

impl Present {
    /// Its client. The first to ask connects, and logs in where there is a login.
    pub(crate) async fn client(&self) -> Result<Client, EtcdError> {
        let connect = || Client::connect([self.address.as_str()], Some(self.options.clone()));
        self.client.get_or_try_init(connect).await.cloned()
    }

    /// It has answered, with the cluster behind it.
    pub(crate) fn hear(&self) {
        *self.heard.lock().expect("no panic while locked") = Some(Instant::now());
    }

    /// Whether it has answered anything since then: one that is overloaded is not one that is away.
    pub(crate) fn was_heard_since(&self, time: Instant) -> bool {
        self.heard.lock().expect("no panic while locked").is_some_and(|heard| heard >= time)
    }

    /// Logs in once more, where there is a login.
    pub(crate) async fn log_in(&self) -> Result<(), EtcdError> {
        self.client().await?.refresh_token().await
    }
}

/// Which member is asked, of so many.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    present: usize,
    generation: u64,
    /// For each member the generation in which it last failed, or 0.
    failed: Vec<u64>,
}

impl Choice {
    fn among(count: usize, first: usize) -> Self {
        Self { present: first, generation: 1, failed: vec![0; count] }
    }

    fn begin(&mut self, first: usize, good: &[usize]) {
        self.present = first;
        for (member, failed) in self.failed.iter_mut().enumerate() {
            *failed = if good.contains(&member) { 0 } else { self.generation };
        }
    }

    /// Goes to the member whose last failure is the longest ago, the next in the circle where that
    /// is undecided.
    fn move_on(&mut self) {
        self.generation += 1;
        self.failed[self.present] = self.generation;
        let count = self.failed.len();
        let circle = (1..=count).map(|step| (self.present + step) % count);
        self.present = circle.min_by_key(|member| self.failed[*member]).unwrap_or(self.present);
    }
}

/// Only the addresses: the options have the password.
impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.address)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(choice: &mut Choice, moves: usize) -> Vec<usize> {
        let mut next = || {
            choice.move_on();
            choice.present
        };
        (0..moves).map(|_| next()).collect()
    }

    #[test]
    fn the_circle_goes_on_and_comes_back() {
        assert_eq!(visited(&mut Choice::among(3, 1), 7), [2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(visited(&mut Choice::among(1, 0), 2), [0, 0]);
    }

    #[test]
    fn who_did_not_answer_at_first_comes_last() {
        let mut choice = Choice::among(4, 0);
        choice.begin(2, &[0, 2]);
        assert_eq!(choice.present, 2);
        assert_eq!(visited(&mut choice, 4), [0, 1, 3, 2]);
    }

    #[test]
    fn requests_that_fail_together_move_on_once() {
        let addresses = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(str::to_owned);
        let members = Members::new(addresses.to_vec(), ConnectOptions::new(), Duration::from_secs(1));
        let mut moved = members.generation();
        let [first, again] = [members.present(), members.present()];
        assert_eq!((first.generation, &first.address), (again.generation, &again.address));
        members.fail(first.generation);
        members.fail(again.generation);
        let second = members.present();
        assert_eq!(second.generation, first.generation + 1);
        assert_ne!(second.address, first.address);
        assert!(moved.has_changed().unwrap());
        assert_eq!(*moved.borrow_and_update(), second.generation);
    }

    #[test]
    fn a_password_is_not_shown() {
        let options = ConnectOptions::new().with_user("locks", "hunter2");
        let members = Members::new(vec!["127.0.0.1:1".into()], options, Duration::from_secs(1));
        assert!(!format!("{members:?}").contains("hunter2"));
    }
}
