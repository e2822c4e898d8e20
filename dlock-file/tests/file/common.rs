//! What the tests of this crate share: one backend with its events at hand, and files to look at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlock_core::{
    Claim, ClaimId, ClaimRef, Clock, Connect, ConnectContext, Event, Gone, Grant, LockBackend, LockName, Metadata,
    Mode, Namespace, Queue, Requested, Result, Why, Withdrawn,
};
use dlock_file::FileConfig;
use futures::StreamExt;
use futures::stream::BoxStream;

/// Nothing here takes this long unless it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    pub(crate) backend: Arc<dyn LockBackend>,
    events: BoxStream<'static, Event>,
    seen: Vec<Event>,
}

pub(crate) async fn try_connect(config: FileConfig) -> Result<Client> {
    let context = ConnectContext { namespace: Namespace::default(), clock: Clock::system() };
    let backend = Box::new(config).connect(context).await?;
    let events = backend.events();
    Ok(Client { backend, events, seen: Vec::new() })
}

pub(crate) async fn connect(dir: &Path) -> Client {
    try_connect(FileConfig::new(dir)).await.unwrap()
}

pub(crate) fn permit(limit: u32) -> Mode {
    Mode::Permit { limit: limit.try_into().unwrap() }
}

pub(crate) fn claim(name: &str, mode: Mode) -> Claim {
    Claim {
        id: ClaimId::random(),
        name: name.parse().unwrap(),
        mode,
        ttl: Duration::from_secs(30),
        metadata: Metadata::of_this_process("test"),
    }
}

impl Client {
    /// Acquires at once.
    pub(crate) async fn hold(&mut self, name: &str, mode: Mode) -> (ClaimRef, Grant) {
        let claim = claim(name, mode);
        match self.backend.request(&claim, Queue::Yes).await.unwrap() {
            Requested::Held(grant, _) => (claim.to_ref(), grant),
            other => panic!("expected to hold {name:?} at once: {other:?}"),
        }
    }

    /// Stands in line.
    pub(crate) async fn wait(&mut self, name: &str, mode: Mode) -> ClaimRef {
        let claim = claim(name, mode);
        match self.backend.request(&claim, Queue::Yes).await.unwrap() {
            Requested::Queued(_) => claim.to_ref(),
            other => panic!("expected to wait for {name:?}: {other:?}"),
        }
    }

    pub(crate) async fn tries(&mut self, name: &str, mode: Mode) -> Requested {
        let claim = claim(name, mode);
        let answer = self.backend.request(&claim, Queue::No).await.unwrap();
        if let Requested::Held(..) = answer {
            self.release(&claim.to_ref()).await;
        }
        answer
    }

    pub(crate) async fn release(&mut self, claim: &ClaimRef) {
        assert_eq!(self.backend.withdraw(claim, Why::Release).await.unwrap(), Withdrawn::Removed);
    }

    /// The next event for which `pick` finds something; others are kept.
    pub(crate) async fn event<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        if let Some(at) = self.seen.iter().position(|event| pick(event).is_some()) {
            return pick(&self.seen.remove(at)).unwrap();
        }
        let next = async {
            loop {
                let event = self.events.next().await.expect("the backend is open");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
                self.seen.push(event);
            }
        };
        tokio::time::timeout(LONG, next).await.unwrap_or_else(|_| panic!("no event: {what}"))
    }

    pub(crate) async fn granted(&mut self, claim: &ClaimRef) -> Grant {
        let id = claim.id;
        let pick = move |event: &Event| match event {
            Event::Granted(granted, grant) if *granted == id => Some(*grant),
            _ => None,
        };
        self.event("granted", pick).await
    }

    pub(crate) async fn gone(&mut self, claim: &ClaimRef) -> Gone {
        let id = claim.id;
        let pick = move |event: &Event| match event {
            Event::Gone(gone, why) if *gone == id => Some(*why),
            _ => None,
        };
        self.event("gone", pick).await
    }

    /// Whether the claim is held, by the backend's own answer.
    pub(crate) async fn holds(&self, claim: &ClaimRef) -> bool {
        match &self.backend.renew(std::slice::from_ref(claim)).await[..] {
            [Ok(dlock_core::Renewal::Alive { grant, .. })] => grant.is_some(),
            [Ok(dlock_core::Renewal::Gone(_))] => false,
            other => panic!("{other:?}"),
        }
    }

    /// Gives wrong grants time to show up, then tells whether the claim still waits.
    pub(crate) async fn still_waits(&self, claim: &ClaimRef) -> bool {
        tokio::time::sleep(Duration::from_millis(150)).await;
        !self.holds(claim).await
    }
}

pub(crate) fn name(text: &str) -> LockName {
    text.parse().unwrap()
}

/// All files below a directory, the control files aside.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "control" {
            found.push(path);
        }
    }
    found
}

/// Waits for a condition of the world.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
