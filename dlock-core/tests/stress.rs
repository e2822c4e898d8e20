//! Many clients on one memory store behind bad networks, in paused time: whatever the faults do, no
//! two guards that exclude each other are believed at one instant, tokens grow, nobody waits for
//! ever and nothing is left.
//!
//! `DLOCK_ROUNDS` says how many seeds are tried, `DLOCK_SEED` with which one to begin.

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::thread;
use std::time::Duration;

use dlock_core::memory::{Link, Memory, MemoryStore, Network};
use dlock_core::{ClaimId, Clock, Error, ErrorKind, Guard, LeaseState, Lock, Locks, Loss, Mode, Owner, Token};
use fastrand::Rng;
use futures::FutureExt;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const CLIENTS: usize = 3;
const WORKERS: usize = 4;
const TURNS: usize = 25;
const PERMITS: u32 = 2;
/// After the faults, by the paused clock: far more than any retry, ttl or line takes.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn exclusion_order_and_cleanliness_survive_bad_networks() {
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (first, rounds) = (number("DLOCK_SEED", 1), number("DLOCK_ROUNDS", 40));
    for seed in first..first + rounds {
        // On a thread of its own: a keeper that spins would stop the paused clock for ever.
        let (done, ended) = mpsc::channel();
        let round = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(round(seed));
            done.send(()).unwrap();
        });
        match ended.recv_timeout(Duration::from_secs(120)) {
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("seed {seed}: the clock stands still"),
            _ => assert!(round.join().is_ok(), "seed {seed} failed: try again with DLOCK_SEED={seed}"),
        }
    }
}

async fn round(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let clock = Clock::tokio();
    let store = MemoryStore::with_clock(clock.clone());
    let audit = Arc::new(Audit::default());
    let (mut clients, mut links, mut workers) = (Vec::new(), Vec::new(), JoinSet::new());
    for client in 0..CLIENTS {
        let network = bad_network(&mut random);
        links.push(network.link());
        let locks = Locks::builder(Memory::on(&store).over(network))
            .ttl(Duration::from_millis(random.u64(400..2000)))
            .retry_for(Duration::from_millis(random.u64(100..4000)))
            .clock(clock.clone())
            .keeper_on(Handle::current())
            .connect()
            .await
            .expect("a memory store always answers");
        let owners = [locks.owner("one"), locks.owner("two")];
        for _ in 0..WORKERS {
            let worker = Worker {
                random: random.fork(),
                audit: audit.clone(),
                locks: locks.clone(),
                owner: random.choice(&owners).filter(|_| client != 0).cloned(),
            };
            workers.spawn(worker.work());
        }
        clients.push(locks);
    }
    let mut disturbers = JoinSet::new();
    disturbers.spawn(cut_now_and_then(links.clone(), random.fork()));
    disturbers.spawn(look_often(audit.clone(), random.fork()));
    if random.bool() {
        let (locks, when) = (clients[0].clone(), random.u64(0..4000));
        disturbers.spawn(async move {
            sleep(Duration::from_millis(when)).await;
            locks.close().await.expect("a memory store always closes");
            std::future::pending::<()>().await;
        });
    }

    // Acquires that lasted through the faults get their turn while the network stays bad.
    while let Some(worker) = timeout(PATIENCE, workers.join_next()).await.expect("somebody waits for ever") {
        worker.expect("no worker panics");
    }
    disturbers.shutdown().await;
    links.iter().for_each(Link::heal);
    for locks in &clients {
        timeout(PATIENCE, locks.close()).await.expect("a client never ends").expect("a memory store always closes");
    }
    // A request that was late or came twice may have left a claim that nobody renews.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(store.count(), 0, "something is left");
    assert!(audit.seen.lock().expect("no look has failed").len() > 10, "nothing was ever held");
}

fn bad_network(random: &mut Rng) -> Network {
    let mut share = |most: f64| random.f64() * most;
    Network::seeded((share(1.0) * 1e9) as u64)
        .lose_requests(share(0.08))
        .lose_replies(share(0.08))
        .duplicate_requests(share(0.1))
        .delay_past_timeout(share(0.05))
        .lose_events(share(0.3))
        .delay(Duration::ZERO..Duration::from_secs_f64(share(0.02)))
        .timeout(Duration::from_millis(60))
}

async fn cut_now_and_then(links: Vec<Link>, mut random: Rng) {
    loop {
        sleep(Duration::from_millis(random.u64(100..1500))).await;
        let link = random.choice(&links).expect("there are clients");
        link.cut();
        sleep(Duration::from_millis(random.u64(10..2500))).await;
        link.heal();
    }
}

async fn look_often(audit: Arc<Audit>, mut random: Rng) {
    loop {
        sleep(Duration::from_millis(random.u64(1..15))).await;
        audit.look();
    }
}

struct Worker {
    random: Rng,
    audit: Arc<Audit>,
    locks: Locks,
    owner: Option<Owner>,
}

impl Worker {
    async fn work(mut self) {
        for _ in 0..TURNS {
            sleep(self.millis(60)).await;
            let lock = self.lock();
            match self.acquire(&lock).await {
                Ok(Some(guard)) => self.hold(&lock, guard).await,
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => expected(&error),
            }
        }
    }

    fn lock(&mut self) -> Lock {
        let name = ["a", "a/b", "permits"][self.random.usize(..3)];
        let (permits, write) = (name == "permits", self.random.bool());
        let (rw, semaphore) = match &self.owner {
            Some(owner) => (owner.rw_lock(name), owner.semaphore(name, PERMITS)),
            None => (self.locks.rw_lock(name), self.locks.semaphore(name, PERMITS)),
        };
        if permits {
            semaphore.expect("memory has permits").as_lock().clone()
        } else if write {
            rw.expect("memory has readers").write().clone()
        } else {
            rw.expect("memory has readers").read().clone()
        }
    }

    async fn acquire(&mut self, lock: &Lock) -> Result<Option<Guard>, Error> {
        match self.random.u8(..8) {
            0 | 1 => lock.try_acquire().await,
            2 | 3 => lock.acquire_within(self.millis(1500)).await,
            4 => timeout(self.millis(300), lock.acquire()).await.map_or(Ok(None), |guard| guard.map(Some)),
            5 => timeout(self.millis(50), lock.try_acquire()).await.unwrap_or(Ok(None)),
            _ => lock.acquire().await.map(Some),
        }
    }

    async fn hold(&mut self, lock: &Lock, guard: Guard) {
        let held = self.audit.add(guard, lock.mode());
        sleep(self.millis(120)).await;
        if self.owner.is_some() && self.random.bool() {
            self.enter_again(lock, &held).await;
        }
        if lock.mode() == Mode::Exclusive && self.random.u8(..3) == 0 {
            self.downgrade(&held).await;
        }
        if self.random.u8(..10) == 0 {
            sleep(self.millis(3000)).await;
        }
        self.audit.look();
        let guard = Arc::into_inner(held).expect("the audit keeps nothing").guard;
        match self.random.u8(..3) {
            0 => drop(guard),
            1 => drop(timeout(self.millis(30), guard.release()).await),
            _ => {
                if let Err(error) = guard.release().await
                    && error.kind() != ErrorKind::Closed
                {
                    expected(&error);
                }
            }
        }
    }

    /// Entering again asks nobody, and counts.
    async fn enter_again(&mut self, lock: &Lock, held: &Held) {
        let before = held.guard.hold_count();
        match lock.acquire().now_or_never().expect("entering again waits for nothing") {
            Ok(again) => {
                assert_eq!(held.guard.hold_count(), before + 1);
                assert_eq!(again.token().ok(), held.guard.token().ok());
                let again = self.audit.add(again, lock.mode());
                sleep(self.millis(50)).await;
                let count = held.guard.hold_count();
                drop(again);
                assert_eq!(held.guard.hold_count(), count - 1);
            }
            // Another worker of this owner has downgraded it.
            Err(error) if error.kind() == ErrorKind::OtherMode => assert_eq!(held.guard.mode(), Mode::Shared),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Lost);
                assert!(!held.guard.is_held());
            }
        }
    }

    async fn downgrade(&mut self, held: &Held) {
        if held.guard.hold_count() > 1 {
            return;
        }
        if let Err(error) = held.guard.downgrade().await
            && error.kind() != ErrorKind::OtherMode
            && error.kind() != ErrorKind::Closed
        {
            expected(&error);
        }
        sleep(self.millis(50)).await;
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.u64(0..most))
    }
}

/// What bad networks may do to a client; everything else is a defect.
fn expected(error: &Error) {
    let usual = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Lost | ErrorKind::OtherMode);
    assert!(usual, "{error:?}");
}

/// A guard under observation.
struct Held {
    guard: Guard,
    mode: Mode,
}

/// Compares what the holders believe. Paused time stands still while it looks, so that all answers
/// are of one instant.
#[derive(Default)]
struct Audit {
    held: Mutex<Vec<Weak<Held>>>,
    seen: Mutex<HashMap<ClaimId, Token>>,
    highest: Mutex<HashMap<String, Highest>>,
}

/// The highest tokens seen on one name.
#[derive(Default)]
struct Highest {
    exclusive: Option<Token>,
    any: Option<Token>,
}

impl Audit {
    fn add(&self, guard: Guard, mode: Mode) -> Arc<Held> {
        let held = Arc::new(Held { guard, mode });
        self.held.lock().expect("no look has failed").push(Arc::downgrade(&held));
        if let Ok(lease) = held.guard.lease() {
            self.check_token(&lease.name.to_string(), lease.claim, mode, lease.token);
        }
        self.look();
        held
    }

    fn check_token(&self, name: &str, claim: ClaimId, mode: Mode, token: Token) {
        if let Some(known) = self.seen.lock().expect("no look has failed").insert(claim, token) {
            return assert_eq!(token, known, "one claim, one token");
        }
        let mut highest = self.highest.lock().expect("no look has failed");
        let Highest { exclusive, any } = highest.entry(name.to_owned()).or_default();
        let before = match mode {
            Mode::Exclusive => *any,
            Mode::Shared | Mode::Permit { .. } => *exclusive,
        };
        assert!(before.is_none_or(|before| token > before), "{name}: token {token:?} after {before:?}");
        let raise = |known: &mut Option<Token>| {
            if known.is_none_or(|known| token > known) {
                *known = Some(token);
            }
        };
        raise(any);
        if mode == Mode::Exclusive {
            raise(exclusive);
        }
    }

    fn look(&self) {
        let mut all = self.held.lock().expect("no look has failed");
        let present: Vec<Arc<Held>> = all.iter().filter_map(Weak::upgrade).collect();
        all.retain(|held| held.strong_count() > 0);
        let mut by_name: HashMap<String, HashMap<ClaimId, Mode>> = HashMap::new();
        for held in &present {
            let Ok(lease) = held.guard.lease() else {
                // A downgrade of unknown outcome is the only thing that alters a claim here.
                let altered = held.guard.state() == LeaseState::Lost(Loss::Altered);
                assert!(!altered || held.mode == Mode::Exclusive, "{:?} is not lost", held.guard);
                continue;
            };
            // The guard's own word: what one guard of an owner downgrades is shared for all of them,
            // from the call on and whatever becomes of the answer.
            by_name.entry(lease.name.to_string()).or_default().insert(lease.claim, lease.mode);
        }
        for (name, claims) in by_name {
            let room = match claims.values().next() {
                Some(Mode::Permit { limit }) => limit.get() as usize,
                _ if claims.values().any(|mode| *mode == Mode::Exclusive) => 1,
                _ => usize::MAX,
            };
            assert!(claims.len() <= room, "{name} is held by {claims:?}");
        }
    }
}
