//! Where one case is tried: a namespace of its own on the subject, and what cases need again and
//! again.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{
    BackendInfo, Builder, Clock, Connect as _, ConnectContext, LockBackend, LockName, Locks, NamePrefix, Namespace,
    Page,
};
use tokio::runtime::{Handle, Runtime};

use crate::broken::Sound;
use crate::reach::{Reach, Requests};
use crate::{Alone, Case, Faults, Flaw, Subject, Tamper, Trouble, Worker};

/// One case's view of the service.
#[derive(Debug)]
pub struct Lab {
    subject: Arc<dyn Subject>,
    namespace: Namespace,
    info: BackendInfo,
    requests: Requests,
    flaw: Arc<dyn Flaw>,
    /// The case that names the flaw, if there is one, for workers to find it again.
    flawed_case: Option<String>,
    patience: Duration,
}

/// A client that can die without a word, as one does whose process is killed.
#[derive(Debug)]
pub struct Crashable {
    /// The client.
    pub locks: Locks,
    runtime: Option<Runtime>,
}

impl Lab {
    /// A lab on `subject`, in a namespace that nobody else uses.
    pub(crate) async fn open(subject: Arc<dyn Subject>, namespace: Namespace) -> dlock_core::Result<Self> {
        let probe = Locks::builder(subject.client()).namespace(namespace.clone()).connect().await?;
        let info = probe.info().clone();
        probe.close().await?;
        Ok(Self {
            subject,
            namespace,
            info,
            requests: Requests::default(),
            flaw: Arc::new(Sound),
            flawed_case: None,
            patience: Duration::from_secs(30),
        })
    }

    /// The same lab, with everything that its clients do passing the flaw that `case` names.
    pub(crate) fn flawed_for(self, case: &Case) -> Self {
        let flawed_case = Some(case.name());
        Self { flaw: (case.flaw)(), flawed_case, patience: Duration::from_secs(4), ..self }
    }

    /// What the backend declares.
    #[must_use]
    pub fn info(&self) -> &BackendInfo {
        &self.info
    }

    /// The namespace of this case.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The ttl for cases about expiry. Clients of the lab use it unless told otherwise.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.info.ttl.clamp(self.subject.ttl())
    }

    /// After this a dead client's claims are surely gone and the next one is served.
    #[must_use]
    pub fn takeover(&self) -> Duration {
        self.ttl() + self.info.grace
    }

    /// How long to wait for what must happen before the case fails. Generous; less where a flaw
    /// makes failing the point.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience + self.takeover() * 2
    }

    /// Requests made by the lab's clients so far.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// A new client.
    pub async fn client(&self) -> Locks {
        self.client_with(|builder| builder).await
    }

    /// A new client with settings of its own.
    pub async fn client_with(&self, settings: impl FnOnce(Builder) -> Builder) -> Locks {
        settings(self.configure(self.reach())).connect().await.expect("the service takes one more client")
    }

    /// A new client, where the service may be down, or refuse it.
    ///
    /// # Errors
    /// As the backend answers to connecting.
    pub async fn try_client(&self) -> dlock_core::Result<Locks> {
        self.configure(self.reach()).connect().await
    }

    /// A new client whose way to the service can be spoilt.
    pub async fn faulty_client(&self) -> (Locks, Faults) {
        self.faulty_client_with(|builder| builder).await
    }

    /// A new client whose way to the service can be spoilt, with settings of its own.
    pub async fn faulty_client_with(&self, settings: impl FnOnce(Builder) -> Builder) -> (Locks, Faults) {
        let faults = Faults::default();
        let reach = Reach { faults: faults.clone(), ..self.reach() };
        let locks = settings(self.configure(reach)).connect().await.expect("the service takes one more client");
        (locks, faults)
    }

    /// A ttl that no case lives to see the end of, where the backend takes it: what goes away
    /// was taken away.
    #[must_use]
    pub fn long_ttl(&self) -> Duration {
        self.info.ttl.clamp(Duration::from_secs(600))
    }

    /// A new client whose claims do not lapse during the case.
    pub async fn lasting_client(&self) -> Locks {
        let ttl = self.long_ttl();
        self.client_with(|builder| builder.ttl(ttl)).await
    }

    /// A new client that can crash.
    pub async fn crashable(&self) -> Crashable {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("one more thread can be started");
        let handle = runtime.handle().clone();
        let locks = self.client_with(|builder| builder.keeper_on(handle)).await;
        Crashable { locks, runtime: Some(runtime) }
    }

    /// A backend without keeper or guards, to be driven by hand on this runtime: for scenarios
    /// about the contract itself.
    pub async fn backend(&self) -> Arc<dyn LockBackend> {
        let context = ConnectContext { namespace: self.namespace.clone(), clock: Clock::system() };
        Box::new(self.reach()).connect(context).await.expect("the service takes one more client")
    }

    /// A client in a process of its own. Only for cases that need `Processes`.
    pub async fn worker(&self) -> Worker {
        self.start_worker(self.ttl()).await
    }

    /// As [`Lab::worker`], for cases that are not about expiry.
    pub async fn lasting_worker(&self) -> Worker {
        self.start_worker(self.long_ttl()).await
    }

    /// As [`Lab::worker`], with a wall clock of its own. Only for cases that need `ProcessClock`.
    pub async fn worker_with_clock(&self, ttl: Duration) -> Worker {
        Worker::start_with_clock(&self.address(), &self.namespace, ttl, self.flawed_case.as_deref()).await
    }

    async fn start_worker(&self, ttl: Duration) -> Worker {
        Worker::start(&self.address(), &self.namespace, ttl, self.flawed_case.as_deref()).await
    }

    fn address(&self) -> String {
        self.subject.address().expect("the case needs `Processes`")
    }

    /// Starts servers for this case alone. Only for cases that need `Alone` with this trouble.
    pub async fn alone(&self, trouble: Trouble) -> Alone {
        let deployment = self.subject.alone(trouble).expect("the case needs `Alone` with this trouble").await;
        let lab = Self::open(deployment.subject(), self.namespace.clone()).await;
        let lab = Self {
            flaw: self.flaw.clone(),
            flawed_case: self.flawed_case.clone(),
            patience: self.patience,
            ..lab.expect("servers that have just been started take a client")
        };
        Alone::new(lab, deployment)
    }

    /// The operator's hand. Only for cases that need `Tamper`.
    #[must_use]
    pub fn tamper(&self) -> Box<dyn Tamper> {
        self.subject.tamper().expect("the case needs `Tamper`")
    }

    /// How many claims and damaged entries the service shows in the lab's namespace.
    pub async fn claims(&self) -> usize {
        self.try_claims().await.expect("claims can be listed and inspected")
    }

    async fn try_claims(&self) -> dlock_core::Result<usize> {
        let locks = self.try_client().await?;
        let mut names: Vec<LockName> = Vec::new();
        let mut page = Page::first();
        loop {
            let part = locks.list(NamePrefix::root(), page).await?;
            names.extend(part.names);
            match part.cursor {
                Some(cursor) => page = Page { cursor: Some(cursor), limit: 1000 },
                None => break,
            }
        }
        names.sort();
        names.dedup();
        let mut count = 0;
        for name in &names {
            let state = locks.inspect(name).await?;
            count += state.holders.len() + state.waiters.len() + state.damaged.len();
        }
        locks.close().await?;
        Ok(count)
    }

    /// Waits until nothing is left in the namespace, as a service says that answers.
    pub async fn until_empty(&self) {
        self.until("nothing is left on the server", || async { matches!(self.try_claims().await, Ok(0)) }).await;
    }

    /// Waits until `condition` holds, and fails the case if it does not in good time.
    pub async fn until<F, Fut>(&self, what: &str, mut condition: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let waited = tokio::time::timeout(self.patience(), async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "waited in vain until {what}");
    }

    /// Waits until `name` has this many waiters.
    pub async fn until_waiting(&self, locks: &Locks, name: &str, waiters: usize) {
        let what = format!("{waiters} wait for {name}");
        self.until(&what, || async {
            locks.inspect(name).await.expect("a name can be inspected").waiters.len() == waiters
        })
        .await;
    }

    /// Awaits what must end in good time, and fails the case if it does not.
    pub async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        match tokio::time::timeout(self.patience(), future).await {
            Ok(output) => output,
            Err(_) => panic!("waited in vain: {what}"),
        }
    }

    fn configure(&self, reach: Reach) -> Builder {
        Locks::builder(reach).namespace(self.namespace.clone()).ttl(self.ttl())
    }

    fn reach(&self) -> Reach {
        let (requests, flaw) = (self.requests.clone(), self.flaw.clone());
        Reach { client: self.subject.client(), requests, flaw, faults: Faults::default() }
    }
}

impl Crashable {
    /// Dies: nothing is released, nothing is renewed any more, all connections break.
    pub fn crash(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// The runtime that drives the client's keeper.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("it is taken only by `crash`").handle()
    }
}

impl Drop for Crashable {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
