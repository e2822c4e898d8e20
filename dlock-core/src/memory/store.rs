use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::{
    Admission, Claim, ClaimId, ClaimInfo, Clock, DamagedEntry, Error, ErrorKind, Event, Gone, Grant, Instant, LockName,
    LockState, Mode, NamePrefix, Namespace, Predecessor, Queue, Result, Token, Why, Withdrawn,
};

/// A lock service inside this process. Clones are the same store.
///
/// It keeps time by a clock of its own, queues claims, expires them, mints tokens and pushes
/// events, as a remote service would. The methods on it are the operator's: what happens to a
/// store behind its clients' backs.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Something changed that may have moved the nearest deadline.
    changed: Notify,
}

struct State {
    epoch: u64,
    last_token: u64,
    names: BTreeMap<Key, Line>,
    /// Where the claim is that expires next.
    deadlines: BTreeMap<(Instant, ClaimId), Key>,
    clients: HashMap<u64, mpsc::UnboundedSender<Event>>,
    next_client: u64,
}

type Key = (Namespace, LockName);

/// The claims on one name, in arrival order.
#[derive(Default)]
struct Line {
    claims: Vec<Stored>,
    damage: Option<String>,
    last_ended: Option<Predecessor>,
}

struct Stored {
    claim: Claim,
    client: u64,
    expires_at: Instant,
    grant: Option<Grant>,
}

/// How a claim stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    Held(Grant),
    Queued,
    Absent,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// An empty store that keeps time by `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        let state = State {
            epoch: fastrand::u64(1..),
            last_token: 0,
            names: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            clients: HashMap::new(),
            next_client: 0,
        };
        Self(Arc::new(Shared { clock, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// The store of that name in this process: the same one for everybody who asks.
    #[must_use]
    pub fn named(name: &str) -> Self {
        static STORES: OnceLock<Mutex<HashMap<String, MemoryStore>>> = OnceLock::new();
        let mut stores = STORES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(name.to_owned()).or_default().clone()
    }

    /// How many claims there are, on all names of all namespaces.
    #[must_use]
    pub fn count(&self) -> usize {
        self.settled().names.values().map(|line| line.claims.len()).sum()
    }

    /// How many claims and damaged entries there are in one namespace.
    #[must_use]
    pub fn count_in(&self, namespace: &Namespace) -> usize {
        let state = self.settled();
        let lines = state.names.iter().filter(|((space, _), _)| space == namespace);
        lines.map(|(_, line)| line.claims.len() + usize::from(line.damage.is_some())).sum()
    }

    /// Deletes everything under a name, as an operator would with the service's own tools: nobody
    /// is told.
    pub fn delete(&self, namespace: &Namespace, name: &LockName) {
        self.lock().names.remove(&(namespace.clone(), name.clone()));
    }

    /// Puts something under a name that is not a claim, in place of what was there.
    pub fn damage(&self, namespace: &Namespace, name: &LockName, garbage: &str) {
        let line = Line { damage: Some(garbage.to_owned()), ..Line::default() };
        self.lock().names.insert((namespace.clone(), name.clone()), line);
    }

    /// Loses all state, as a store without persistence does in a restart: claims, counters, and
    /// with them the epoch.
    pub fn lose_everything(&self) {
        let mut state = self.lock();
        state.names.clear();
        state.last_token = 0;
        state.epoch = fastrand::u64(1..);
    }

    pub(crate) fn join(&self) -> (u64, mpsc::UnboundedReceiver<Event>) {
        let (sender, events) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.next_client += 1;
        let client = state.next_client;
        state.clients.insert(client, sender);
        (client, events)
    }

    pub(crate) fn part(&self, client: u64) {
        self.lock().clients.remove(&client);
    }

    pub(crate) fn request(&self, client: u64, namespace: &Namespace, claim: &Claim, queue: Queue) -> Result<Standing> {
        let now = self.0.clock.now();
        let mut state = self.settled();
        let key = (namespace.clone(), claim.name.clone());
        let line = state.names.entry(key.clone()).or_default();
        if let Some(garbage) = &line.damage {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "{} is blocked by something that is not a dlock claim: {garbage:?}; inspect and break it",
                    claim.name
                ),
            ));
        }
        if line.claims.iter().any(|stored| stored.claim.id == claim.id) {
            return Ok(state.renew(&key, claim.id, now));
        }
        let admission = claim.mode.admission(line.claims.iter().map(|stored| stored.claim.mode));
        if let Admission::Mismatch(other) = admission {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("{} is in use as {other}, it cannot be {} too: use another name", claim.name, claim.mode),
            ));
        }
        if admission == Admission::Wait && queue == Queue::No {
            return Ok(Standing::Absent);
        }
        let expires_at = now + claim.ttl;
        line.claims.push(Stored { claim: claim.clone(), client, expires_at, grant: None });
        state.deadlines.insert((expires_at, claim.id), key.clone());
        state.admit(&key, Some(claim.id));
        let standing = state.standing(&key, claim.id);
        drop(state);
        self.0.changed.notify_waiters();
        Ok(standing)
    }

    pub(crate) fn renew(&self, namespace: &Namespace, name: &LockName, claim: ClaimId) -> Standing {
        let now = self.0.clock.now();
        self.settled().renew(&(namespace.clone(), name.clone()), claim, now)
    }

    pub(crate) fn withdraw(&self, namespace: &Namespace, name: &LockName, claim: ClaimId, why: Why) -> Withdrawn {
        let mut state = self.settled();
        let ended = if why == Why::Break { Predecessor::Vanished } else { Predecessor::Released };
        let gone = state.remove(&(namespace.clone(), name.clone()), ended, |stored| stored.claim.id == claim);
        for stored in &gone {
            if why == Why::Break {
                state.tell(stored.client, Event::Gone(claim, Gone::Absent));
            }
        }
        if gone.is_empty() { Withdrawn::Absent } else { Withdrawn::Removed }
    }

    pub(crate) fn convert(&self, namespace: &Namespace, name: &LockName, claim: ClaimId, to: Mode) -> Result<Grant> {
        let key = (namespace.clone(), name.clone());
        let mut state = self.settled();
        let held = state
            .names
            .get_mut(&key)
            .and_then(|line| line.claims.iter_mut().find(|stored| stored.claim.id == claim && stored.grant.is_some()));
        let Some((stored, grant)) = held.and_then(|stored| stored.grant.map(|grant| (stored, grant))) else {
            return Err(Error::new(ErrorKind::Lost, format!("{name} is not held by this claim any more")));
        };
        if to != Mode::Shared || matches!(stored.claim.mode, Mode::Permit { .. }) {
            let text = format!(
                "the memory backend changes exclusive claims to shared ones, not {} to {to}",
                stored.claim.mode
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        stored.claim.mode = to;
        state.admit(&key, None);
        Ok(grant)
    }

    pub(crate) fn inspect(&self, namespace: &Namespace, name: &LockName) -> LockState {
        let now = self.0.clock.now();
        let state = self.settled();
        let mut seen = LockState::free(name.clone());
        let Some(line) = state.names.get(&(namespace.clone(), name.clone())) else { return seen };
        for stored in &line.claims {
            let info = ClaimInfo {
                claim: stored.claim.to_ref(),
                metadata: stored.claim.metadata.clone(),
                token: stored.grant.map(|grant| grant.token),
                expires_in: Some(stored.expires_at.since(now)),
            };
            if stored.grant.is_some() { seen.holders.push(info) } else { seen.waiters.push(info) }
        }
        seen.damaged.extend(line.damage.as_ref().map(|garbage| DamagedEntry {
            key: name.to_string(),
            problem: format!("not a dlock claim: {garbage:?}"),
            fingerprint: garbage.clone(),
        }));
        seen
    }

    /// The names in order, after `after`.
    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        prefix: &NamePrefix,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<LockName> {
        let state = self.settled();
        let names = state.names.keys().filter(|(space, name)| space == namespace && prefix.covers(name));
        names
            .map(|(_, name)| name)
            .filter(|name| after.is_none_or(|after| name.as_str() > after))
            .take(limit)
            .cloned()
            .collect()
    }

    pub(crate) fn clear_damage(&self, namespace: &Namespace, name: &LockName, fingerprint: &str) -> Withdrawn {
        let key = (namespace.clone(), name.clone());
        let mut state = self.lock();
        let damaged = state.names.get(&key).is_some_and(|line| line.damage.as_deref() == Some(fingerprint));
        if !damaged {
            return Withdrawn::Absent;
        }
        state.names.remove(&key);
        Withdrawn::Removed
    }

    /// Expires claims when their time comes, so that those behind them are granted. Never ends.
    pub(crate) async fn keep_time(&self) {
        loop {
            let changed = self.0.changed.notified();
            let next = self.settled().deadlines.keys().next().map(|(at, _)| *at);
            let next = next.unwrap_or_else(|| self.0.clock.now() + Duration::from_secs(3600));
            tokio::select! {
                () = self.0.clock.sleep_until(next) => {}
                () = changed => {}
            }
        }
    }

    /// The state, with all that is due by now done.
    fn settled(&self) -> MutexGuard<'_, State> {
        let now = self.0.clock.now();
        let mut state = self.lock();
        state.expire(now);
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        while let Some(next) = self.deadlines.first_entry()
            && next.key().0 <= now
        {
            let ((_, claim), key) = next.remove_entry();
            self.remove(&key, Predecessor::Vanished, |stored| stored.claim.id == claim && stored.expires_at <= now);
        }
    }

    fn renew(&mut self, key: &Key, claim: ClaimId, now: Instant) -> Standing {
        let line = self.names.get_mut(key);
        let Some(stored) = line.and_then(|line| line.claims.iter_mut().find(|stored| stored.claim.id == claim)) else {
            return Standing::Absent;
        };
        self.deadlines.remove(&(stored.expires_at, claim));
        stored.expires_at = now + stored.claim.ttl;
        self.deadlines.insert((stored.expires_at, claim), key.clone());
        stored.standing()
    }

    /// Removes claims and lets those behind them be granted. Nothing of an empty name stays.
    fn remove(&mut self, key: &Key, ended: Predecessor, which: impl Fn(&Stored) -> bool) -> Vec<Stored> {
        let Some(line) = self.names.get_mut(key) else { return Vec::new() };
        let gone: Vec<Stored> = line.claims.extract_if(.., |stored| which(stored)).collect();
        for stored in &gone {
            self.deadlines.remove(&(stored.expires_at, stored.claim.id));
        }
        if gone.iter().any(|stored| stored.grant.is_some()) {
            line.last_ended = Some(ended);
        }
        self.admit(key, None);
        gone
    }

    /// Grants what can be granted, in order, and tells everybody but `quiet`.
    fn admit(&mut self, key: &Key, quiet: Option<ClaimId>) {
        let Some(line) = self.names.get_mut(key) else { return };
        if line.claims.is_empty() && line.damage.is_none() {
            self.names.remove(key);
            return;
        }
        let mut before: Vec<Mode> = Vec::with_capacity(line.claims.len());
        let mut told = Vec::new();
        for stored in &mut line.claims {
            let admission = stored.claim.mode.admission(before.iter().copied());
            before.push(stored.claim.mode);
            if stored.grant.is_some() || admission != Admission::Held {
                continue;
            }
            self.last_token += 1;
            let token = Token { epoch: self.epoch, value: self.last_token };
            let grant = Grant { token, predecessor: line.last_ended };
            stored.grant = Some(grant);
            if quiet != Some(stored.claim.id) {
                told.push((stored.client, Event::Granted(stored.claim.id, grant)));
            }
        }
        for (client, event) in told {
            self.tell(client, event);
        }
    }

    fn standing(&self, key: &Key, claim: ClaimId) -> Standing {
        let stored = self.names.get(key).and_then(|line| line.claims.iter().find(|stored| stored.claim.id == claim));
        stored.map_or(Standing::Absent, Stored::standing)
    }

    fn tell(&self, client: u64, event: Event) {
        if let Some(events) = self.clients.get(&client) {
            let _ = events.send(event);
        }
    }
}

impl Stored {
    fn standing(&self) -> Standing {
        self.grant.map_or(Standing::Queued, Standing::Held)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
