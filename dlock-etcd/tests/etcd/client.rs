//! A dlock client and a way to do to the server what others do.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{
    Claim, ClaimId, Clock, Connect, ConnectContext, Event, Gone, Grant, LockBackend, Metadata, Mode, Namespace, Queue,
    Renewal, Requested, Why, Withdrawn,
};
use dlock_etcd::EtcdConfig;
use dlock_testkit::servers::Node;
use etcd_client::{GetOptions, GetResponse};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// No condition takes this long, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const EXCLUSIVE: Mode = Mode::Exclusive;
pub(crate) const SHARED: Mode = Mode::Shared;

pub(crate) fn permit(limit: u32) -> Mode {
    Mode::Permit { limit: limit.try_into().unwrap() }
}

/// One client of the backend, as the keeper would drive it.
pub(crate) struct Client {
    pub(crate) backend: Arc<dyn LockBackend>,
    events: BoxStream<'static, Event>,
    seen: Vec<Event>,
    pub(crate) ttl: Duration,
    pub(crate) namespace: Namespace,
}

impl Client {
    pub(crate) async fn connect(url: &str, namespace: &Namespace) -> Self {
        let config = EtcdConfig::from_url(url).unwrap();
        Self::with(config, namespace).await
    }

    pub(crate) async fn with(config: EtcdConfig, namespace: &Namespace) -> Self {
        let context = ConnectContext { namespace: namespace.clone(), clock: Clock::system() };
        let backend = Box::new(config).connect(context).await.unwrap();
        let events = backend.events();
        Self { backend, events, seen: Vec::new(), ttl: Duration::from_secs(30), namespace: namespace.clone() }
    }

    pub(crate) fn claim(&self, name: &str, mode: Mode) -> Claim {
        Claim {
            id: ClaimId::random(),
            name: name.parse().unwrap(),
            mode,
            ttl: self.ttl,
            metadata: Metadata::of_this_process("tester"),
        }
    }

    pub(crate) async fn hold(&self, name: &str, mode: Mode) -> (Claim, Grant) {
        let claim = self.claim(name, mode);
        match self.backend.request(&claim, Queue::Yes).await.unwrap() {
            Requested::Held(grant, _) => (claim, grant),
            other => panic!("not held: {other:?}"),
        }
    }

    pub(crate) async fn queue(&self, name: &str, mode: Mode) -> Claim {
        let claim = self.claim(name, mode);
        let requested = self.backend.request(&claim, Queue::Yes).await.unwrap();
        assert!(matches!(requested, Requested::Queued(_)), "{requested:?}");
        claim
    }

    pub(crate) async fn release(&self, claim: &Claim) {
        assert_eq!(self.backend.withdraw(&claim.to_ref(), Why::Release).await.unwrap(), Withdrawn::Removed);
    }

    pub(crate) async fn renew(&self, claim: &Claim) -> Renewal {
        self.backend.renew(&[claim.to_ref()]).await.remove(0).unwrap()
    }

    /// The next grant or loss of that claim; others are kept for later.
    async fn outcome(&mut self, id: ClaimId) -> Event {
        let about = |event: &Event| matches!(event, Event::Granted(of, _) | Event::Gone(of, _) if *of == id);
        if let Some(at) = self.seen.iter().position(about) {
            return self.seen.remove(at);
        }
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event arrives in time");
            let event = event.expect("the backend is open");
            if about(&event) {
                return event;
            }
            self.seen.push(event);
        }
    }

    pub(crate) async fn granted(&mut self, claim: &Claim) -> Grant {
        match self.outcome(claim.id).await {
            Event::Granted(_, grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub(crate) async fn gone(&mut self, claim: &Claim) -> Gone {
        match self.outcome(claim.id).await {
            Event::Gone(_, gone) => gone,
            other => panic!("not gone: {other:?}"),
        }
    }

    /// Nothing was pushed about the claim, so far.
    pub(crate) async fn quiet(&mut self, claim: &Claim) {
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(50), self.events.next()).await {
            self.seen.push(event);
        }
        let about = |event: &&Event| matches!(event, Event::Granted(of, _) | Event::Gone(of, _) if *of == claim.id);
        assert_eq!(self.seen.iter().find(about), None);
    }

    pub(crate) async fn suspect(&mut self) {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event arrives in time");
            match event.expect("the backend is open") {
                Event::Suspect(_) => return,
                other => self.seen.push(other),
            }
        }
    }
}

/// Somebody else with access to the server.
pub(crate) struct Outsider {
    pub(crate) etcd: etcd_client::Client,
    namespace: Namespace,
}

impl Outsider {
    pub(crate) async fn new(authority: &str, namespace: &Namespace) -> Self {
        let etcd = etcd_client::Client::connect([authority], None).await.unwrap();
        Self { etcd, namespace: namespace.clone() }
    }

    /// All keys of the namespace, with their leases.
    pub(crate) async fn keys(&mut self) -> Vec<(String, i64)> {
        let found = self.all().await;
        found.kvs().iter().map(|kv| (kv.key_str().unwrap().to_owned(), kv.lease())).collect()
    }

    /// The key of a claim, and its lease.
    pub(crate) async fn key_of(&mut self, claim: &Claim) -> (String, i64) {
        let found = self.all().await;
        let is_its = |record: &[u8]| Claim::from_record(record).is_ok_and(|found| found.id == claim.id);
        let its = found.kvs().iter().find(|kv| is_its(kv.value())).expect("the claim has a key");
        (its.key_str().unwrap().to_owned(), its.lease())
    }

    /// Asks until a leader answers.
    async fn all(&mut self) -> GetResponse {
        let (below, mut found) = (format!("{}/", self.namespace), None);
        until("the keys are read", async || {
            found = self.etcd.get(below.clone(), Some(GetOptions::new().with_prefix())).await.ok();
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// A namespace that no other test uses.
pub(crate) fn fresh_namespace() -> Namespace {
    format!("t{}", ClaimId::random()).parse().unwrap()
}

/// How often the server was asked, by method of etcd's gRPC services, since it started.
pub(crate) async fn requests(authority: &str, method: &str) -> u64 {
    let answer = metrics(authority).await;
    let wanted = format!("grpc_method=\"{method}\"");
    let counts = answer.lines().filter(|line| line.starts_with("grpc_server_started_total") && line.contains(&wanted));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// What the server counts of itself.
pub(crate) async fn metrics(authority: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(authority).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Stops the server, and returns when none of its threads can answer any more.
pub(crate) async fn stop(server: &Node) {
    server.stop();
    until("all threads are stopped", async || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        tasks.into_iter().all(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
        })
    })
    .await;
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
