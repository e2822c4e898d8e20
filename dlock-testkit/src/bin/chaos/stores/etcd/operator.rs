//! The operator's connections to an etcd cluster, which no fault of a worker's lines touches.

use std::time::Duration;

use etcd_client::{Client, Error};

use crate::etcd::connect;
use crate::stores::patience::until;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A user with all rights.
#[derive(Debug)]
pub(super) struct Operator {
    url: String,
}

impl Operator {
    /// The user in a cluster's URL.
    pub(super) fn at(url: String) -> Self {
        Self { url }
    }

    /// Repeats an order until it is obeyed. One that was not answered may have been obeyed before.
    pub(super) async fn tell<T, F>(&self, order: impl Fn(Client) -> F) -> T
    where
        F: Future<Output = Result<T, Error>>,
    {
        until(async || {
            let answer = tokio::time::timeout(ANSWER, async { order(connect(&self.url).await?).await });
            match answer.await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err(format!("there is no answer within {ANSWER:?}")),
            }
        })
        .await
    }
}
