//! What transactions answer.

use dlock_core::{Error, ErrorKind, Result, Token};
use etcd_client::{GetResponse, TxnOpResponse, TxnResponse};

use crate::error::Effect;

/// The answer to a transaction.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    /// The store's revision after the transaction.
    pub(crate) revision: i64,
    pub(crate) cluster: u64,
    /// The term of the leader that the member knew.
    pub(crate) term: u64,
    pub(crate) results: Vec<TxnOpResponse>,
}

impl Answer {
    pub(crate) fn read(answer: TxnResponse, effect: Effect) -> Result<Self> {
        let header = answer.header().ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "etcd sent an answer without a header").with_landed(effect.doubt())
        })?;
        Ok(Self {
            succeeded: answer.succeeded(),
            revision: header.revision(),
            cluster: header.cluster_id(),
            term: header.raft_term(),
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
