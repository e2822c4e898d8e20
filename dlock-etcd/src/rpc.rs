//! Requests to etcd, each with a deadline of its own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dlock_core::{Clock, Error, ErrorKind, Landed, Result, Token};
use etcd_client::{
    Client, ConnectOptions, GetOptions, GetResponse, LeaseClient, Txn, TxnOpResponse, TxnResponse, WatchClient,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant as Deadline;

use crate::dial::dial;
use crate::error::{Effect, classify, timed_out};

/// Ranges of a name with very many permits are the longest answers there are.
const LONGEST_ANSWER: usize = 64 << 20;

/// The connection to etcd.
#[derive(Clone)]
pub(crate) struct Rpc {
    client: Client,
    pub(crate) clock: Clock,
    pub(crate) timeout: Duration,
    attempts: usize,
    origin: Arc<Origin>,
}

/// What it takes to connect once more.
struct Origin {
    address: String,
    options: ConnectOptions,
    /// What everybody who may use the namespace may read.
    key: Vec<u8>,
    cluster: u64,
}

/// The answer to a transaction.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    /// The store's revision after the transaction.
    pub(crate) revision: i64,
    pub(crate) cluster: u64,
    pub(crate) results: Vec<TxnOpResponse>,
}

impl Rpc {
    /// Connects, and reads what begins with `prefix`: that proves that the peer is etcd, that it has
    /// a leader, and that the keys may be read. `options` has the login and TLS.
    pub(crate) async fn open(
        addresses: Vec<String>,
        options: ConnectOptions,
        prefix: String,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self> {
        // A member that lost its cluster says so, instead of serving what it knew.
        let options = options.with_require_leader(true).with_auto_token_refresh(true);
        let bounded = options
            .clone()
            .with_connect_timeout(timeout.min(Duration::from_secs(2)))
            // Not more often than a server allows by default (5 s), and only while a stream is open.
            .with_keep_alive(Duration::from_secs(6), Duration::from_secs(2))
            .with_keep_alive_while_idle(false);
        let client = match tokio::time::timeout(timeout, Client::connect(addresses.clone(), Some(bounded))).await {
            Ok(client) => client.map_err(|error| classify(error, Effect::Read))?,
            Err(_) => return Err(timed_out(Effect::Read)),
        };
        // The client library spreads requests over the endpoints and does not skip dead ones.
        let attempts = if addresses.len() > 1 { 4 * addresses.len() } else { 1 };
        let address = addresses[fastrand::usize(..addresses.len())].clone();
        let origin = Origin { address, options, key: prefix.into_bytes(), cluster: 0 };
        let mut rpc = Self { client, clock, timeout, attempts, origin: Arc::new(origin) };
        let first = GetOptions::new().with_prefix().with_limit(1).with_keys_only();
        let answer = rpc.get(rpc.deadline(), &rpc.origin.key, first).await?;
        let cluster = answer.header().map_or(0, etcd_client::ResponseHeader::cluster_id);
        Arc::get_mut(&mut rpc.origin).expect("not shared yet").cluster = cluster;
        Ok(rpc)
    }

    /// A connection of its own to the present member, with the generation that it belongs to. It
    /// lives on the runtime that polls the future, and nothing in it waits by a timer.
    pub(crate) fn dial_present(&self) -> (u64, BoxFuture<'static, Result<Client>>) {
        let origin = self.origin.clone();
        let dialling =
            async move { dial(&origin.address, origin.options.clone(), &origin.key, origin.cluster).await }.boxed();
        (self.generation(), dialling)
    }

    /// Changes whenever requests go to another member than before.
    pub(crate) fn generation(&self) -> u64 {
        0
    }

    /// When a call that starts now must have ended.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::now() + self.timeout
    }

    /// Makes one request, and repeats it on another endpoint when it surely was not applied.
    pub(crate) async fn call<T, F>(
        &self,
        until: Deadline,
        effect: Effect,
        mut request: impl FnMut(Client) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut left = self.attempts;
        loop {
            let answer = tokio::time::timeout_at(until, request(self.client.clone())).await;
            let error = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => classify(error, effect),
                Err(_) => timed_out(effect),
            };
            left -= 1;
            let again = error.is_retryable() && error.landed() == Landed::No && left > 0 && Deadline::now() < until;
            if !again {
                return Err(error);
            }
        }
    }

    pub(crate) async fn txn(&self, until: Deadline, effect: Effect, txn: Txn) -> Result<Answer> {
        let answer = self
            .call(until, effect, |client| {
                let txn = txn.clone();
                async move { client.kv_client().max_decoding_message_size(LONGEST_ANSWER).txn(txn).await }
            })
            .await?;
        self.answer(answer, effect)
    }

    /// What a transaction came to.
    pub(crate) fn answer(&self, answer: TxnResponse, effect: Effect) -> Result<Answer> {
        Answer::read(answer, effect)
    }

    /// Deletes a key; answers how many there were.
    pub(crate) async fn delete(&self, until: Deadline, key: Vec<u8>) -> Result<i64> {
        let answer = self
            .call(until, Effect::Write, |client| {
                let key = key.clone();
                async move { client.kv_client().delete(key, None).await }
            })
            .await?;
        Ok(answer.deleted())
    }

    pub(crate) async fn get(&self, until: Deadline, key: &[u8], options: GetOptions) -> Result<GetResponse> {
        self.call(until, Effect::Read, |client| {
            let options = options.clone();
            async move { client.kv_client().max_decoding_message_size(LONGEST_ANSWER).get(key, Some(options)).await }
        })
        .await
    }

    pub(crate) fn lease_client(&self) -> LeaseClient {
        self.client.lease_client()
    }

    pub(crate) fn watch_client(&self) -> WatchClient {
        // A lease that ends takes all its keys with it in one event.
        self.client.watch_client().max_decoding_message_size(LONGEST_ANSWER)
    }
}

impl Answer {
    fn read(answer: TxnResponse, effect: Effect) -> Result<Self> {
        let header = answer.header().ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "etcd sent an answer without a header").with_landed(effect.doubt())
        })?;
        Ok(Self {
            succeeded: answer.succeeded(),
            revision: header.revision(),
            cluster: header.cluster_id(),
            results: answer.op_responses(),
        })
    }

    /// The result of the range at `index` of the operations that were executed.
    pub(crate) fn range(&self, index: usize) -> Result<&GetResponse> {
        match self.results.get(index) {
            Some(TxnOpResponse::Get(range)) => Ok(range),
            _ => Err(Error::new(ErrorKind::Protocol, "etcd answered a transaction with other operations")),
        }
    }

    /// How many keys the transaction deleted.
    pub(crate) fn deleted(&self) -> i64 {
        let deleted = |result: &TxnOpResponse| match result {
            TxnOpResponse::Delete(deleted) => deleted.deleted(),
            _ => 0,
        };
        self.results.iter().map(deleted).sum()
    }
}

/// The token of a claim: when its key was created, in the history that the cluster's id names (a
/// cluster restored from a snapshot has a new id).
pub(crate) fn token(cluster: u64, create_revision: i64) -> Token {
    Token { epoch: cluster, value: u64::try_from(create_revision).unwrap_or(0) }
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
