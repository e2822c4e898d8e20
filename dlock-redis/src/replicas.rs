//! Grants that replicas have acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dlock_core::{Claim, ClaimRef, Error, ErrorKind, Gone, Grant, Instant, Landed, Life, Requested, Result, Why};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::entry::millis;
use crate::error::{classify, classify_connecting, timed_out};
use crate::lookout::{BATCH, Standing, ask_on};
use crate::registry::Unproven;
use crate::requests::Requests;
use crate::shared::Shared;

/// Has grants acknowledged by replicas before anybody hears of them.
///
/// `WAIT` is about what its own connection wrote last, and holds that connection up
/// (<https://redis.io/docs/latest/commands/wait/>). So each granted claim is renewed once on a
/// connection that nothing else uses, and those that come together share the renewal and the wait.
#[derive(Debug)]
pub(crate) struct Replicas {
    proving: Arc<Proving>,
    pushed: JoinHandle<()>,
}

#[derive(Debug)]
struct Proving {
    requests: Arc<Requests>,
    /// Who asks the replicas of each server, by its address.
    witnesses: Mutex<HashMap<String, mpsc::UnboundedSender<Order>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// A claim to be acknowledged, and where to say so.
#[derive(Debug)]
struct Order {
    claim: ClaimRef,
    answer: oneshot::Sender<Result<Proof>>,
}

/// A grant that enough replicas have.
#[derive(Clone, Copy, Debug)]
struct Proof {
    grant: Grant,
    /// When the renewal that they acknowledged was sent.
    sent_at: Instant,
}

impl Replicas {
    /// How many request timeouts a proof may take, and the withdrawal of what is not proven.
    pub(crate) const TIMEOUTS: u32 = 7;

    /// Proves grants that were pushed, too.
    pub(crate) fn start(requests: Arc<Requests>, unproven: UnboundedReceiver<Unproven>) -> Self {
        let proving = Arc::new(Proving { requests, witnesses: Mutex::default(), tasks: Mutex::default() });
        let pushed = tokio::spawn(prove_pushed(proving.clone(), unproven));
        Self { proving, pushed }
    }

    /// The answer to a request that was granted: as it is once replicas have acknowledged it.
    ///
    /// # Errors
    /// `Unavailable` when too few did in time; the claim is withdrawn then.
    pub(crate) async fn prove(&self, claim: &Claim) -> Result<Requested> {
        let claim = claim.to_ref();
        match self.proving.acknowledged(&claim).await {
            Ok(Proof { grant, sent_at }) => Ok(Requested::Held(grant, Life::new(sent_at, claim.ttl))),
            Err(error) => {
                let requests = &self.proving.requests;
                requests.shared.registry.forget(claim.id);
                let taken_back = requests.remove(&claim, Why::Cancel).await;
                Err(error.with_landed(if taken_back.is_ok() { Landed::No } else { Landed::Maybe }))
            }
        }
    }

    /// Ends the connections.
    pub(crate) fn close(&self) {
        self.pushed.abort();
        self.proving.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// Proves grants that were pushed, before anybody is told. Ends with the backend.
async fn prove_pushed(proving: Arc<Proving>, mut unproven: UnboundedReceiver<Unproven>) {
    let mut proofs = JoinSet::new();
    while let Some(Unproven { claim }) = unproven.next().await {
        while proofs.try_join_next().is_some() {}
        let proving = proving.clone();
        proofs.spawn(async move {
            let Requests { shared, .. } = &*proving.requests;
            match proving.acknowledged(&claim).await {
                Ok(proof) => shared.registry.proven(claim.id, proof.grant),
                Err(error) => {
                    tracing::warn!(claim = %claim.id, %error, "a grant is not handed out");
                    // Should that fail, it is withdrawn when its end is told.
                    let _ = proving.requests.remove(&claim, Why::Cancel).await;
                    shared.registry.tell_gone(claim.id, Gone::Absent);
                }
            }
        });
    }
}

impl Proving {
    async fn acknowledged(&self, claim: &ClaimRef) -> Result<Proof> {
        let bucket = self.requests.shared.keys.bucket(&claim.name);
        let client = self.requests.routes.client_of(bucket).await?;
        let (answer, answered) = oneshot::channel();
        self.order(client, Order { claim: claim.clone(), answer });
        // The batch that is under way may take two; then come the renewal and the wait.
        let bound = self.requests.shared.timeout * (Replicas::TIMEOUTS - 3);
        match timeout(bound, answered).await {
            Ok(Ok(proof)) => proof,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Closed, "the redis backend is closed")),
            Err(_) => Err(timed_out(&self.requests.shared.place)),
        }
    }

    fn order(&self, client: Client, order: Order) {
        let place = client.get_connection_info().addr().to_string();
        let mut witnesses = self.witnesses.lock().unwrap_or_else(PoisonError::into_inner);
        let witness = witnesses.entry(place).or_insert_with(|| {
            let (orders, taken) = mpsc::unbounded_channel();
            let witness = Witness { requests: self.requests.clone(), client, connection: None };
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(witness.serve(taken));
            orders
        });
        // A witness ends only with the backend; the order is then answered by its being dropped.
        let _ = witness.send(order);
    }
}

/// Asks one server what its replicas have.
struct Witness {
    requests: Arc<Requests>,
    client: Client,
    connection: Option<MultiplexedConnection>,
}

impl Witness {
    async fn serve(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut batch = Vec::with_capacity(BATCH);
        while orders.recv_many(&mut batch, BATCH).await > 0 {
            // While the batch before was under way, somebody may have given up.
            batch.retain(|order| !order.answer.is_closed());
            let claims: Vec<ClaimRef> = batch.iter().map(|order| order.claim.clone()).collect();
            for (order, proof) in batch.drain(..).zip(self.prove(&claims).await) {
                // Whoever gave up meanwhile has withdrawn the claim.
                let _ = order.answer.send(proof);
            }
        }
    }

    async fn prove(&mut self, claims: &[ClaimRef]) -> Vec<Result<Proof>> {
        let is_used = self.connection.is_some();
        let mut proofs = self.prove_once(claims).await;
        // A connection that nobody used for a while may have been lost unnoticed.
        if is_used && self.connection.is_none() {
            proofs = self.prove_once(claims).await;
        }
        proofs
    }

    async fn prove_once(&mut self, claims: &[ClaimRef]) -> Vec<Result<Proof>> {
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return claims.iter().map(|_| Err(error.clone())).collect(),
        };
        let sent_at = self.requests.clock.now();
        let standings = ask_on(&connection, &self.requests, claims).await;
        let acknowledged = match standings.iter().find_map(|standing| standing.as_ref().err()) {
            None => self.wait(connection, claims).await,
            Some(error) => Err(error.clone()),
        };
        if acknowledged.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
            self.connection = None;
        }
        let proof = |standing| match (standing?, &acknowledged) {
            (Standing::Held(grant), Ok(())) => Ok(Proof { grant, sent_at }),
            (Standing::Held(_), Err(error)) => Err(error.clone()),
            (Standing::Queued(_) | Standing::Gone(_), _) => {
                Err(unavailable("the claim lapsed before replicas acknowledged it: raise the ttl".to_owned()))
            }
        };
        standings.into_iter().map(|standing| proof(standing).map_err(in_time)).collect()
    }

    /// Waits until enough replicas have what was written last on this connection.
    async fn wait(&self, mut connection: MultiplexedConnection, claims: &[ClaimRef]) -> Result<()> {
        let Shared { replicas, timeout: bound, place, .. } = &*self.requests.shared;
        // The claims shall be worth something when they are handed out.
        let shortest = claims.iter().map(|claim| claim.ttl).min().unwrap_or(*bound);
        let patience = (*bound / 2).min(shortest / 2);
        let mut wait = redis::cmd("WAIT");
        wait.arg(*replicas).arg(millis(patience).max(1));
        let answer = timeout(patience + *bound, wait.query_async::<u32>(&mut connection)).await;
        let acknowledged = answer.map_err(|_| timed_out(place))?.map_err(classify)?;
        if acknowledged >= *replicas {
            return Ok(());
        }
        Err(unavailable(format!(
            "{acknowledged} of {replicas} replicas acknowledged the grant within {patience:?}: it is not handed out"
        )))
    }

    async fn connect(&mut self) -> Result<MultiplexedConnection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let bound = self.requests.shared.timeout;
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(bound)).set_response_timeout(None);
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connected.map_err(classify_connecting)?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }
}

/// The same error, so that the request is made again: by then the primary may be another server.
fn in_time(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Denied => error,
        _ => unavailable(format!("replicas could not be asked: {error}")).with_source(error),
    }
}

fn unavailable(text: String) -> Error {
    Error::new(ErrorKind::Unavailable, text)
}
