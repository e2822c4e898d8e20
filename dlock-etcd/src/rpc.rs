//! Requests to etcd, each with a deadline of its own.

use std::future::Future;
use std::time::Duration;

use dlock_core::{Clock, Error, ErrorKind, Landed, Result, Token};
use etcd_client::{Client, GetOptions, GetResponse, LeaseClient, Txn, TxnOpResponse, TxnResponse, WatchClient};
use tokio::time::Instant as Deadline;

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
    pub(crate) fn new(client: Client, clock: Clock, timeout: Duration, endpoints: usize) -> Self {
        // The client library spreads requests over the endpoints and does not skip dead ones.
        let attempts = if endpoints > 1 { 4 * endpoints } else { 1 };
        Self { client, clock, timeout, attempts }
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
        Answer::read(answer, effect)
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
