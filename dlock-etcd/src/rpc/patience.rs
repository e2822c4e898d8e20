//! One member after another, within one deadline.

use std::future::Future;
use std::time::Duration;

use etcd_client::Client;
use tokio::time::Instant as Deadline;

use crate::error::{Effect, Failure};
use crate::members::Present;

/// What is left to a request that is made to one member after another.
#[derive(Debug)]
pub(crate) struct Patience {
    pub(super) until: Deadline,
    /// What one member may take.
    pub(super) share: Duration,
    pub(super) tried: usize,
    pub(super) logins: usize,
}

impl Patience {
    /// When the next member must have answered.
    pub(crate) fn next(&self) -> Deadline {
        self.until.min(Deadline::now() + self.share)
    }

    /// Makes the request to that member.
    pub(crate) async fn ask<T, F>(
        &self,
        member: &Present,
        effect: Effect,
        request: impl FnOnce(Client) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let (began, until) = (Deadline::now(), self.next());
        let given = until.saturating_duration_since(began);
        let client = match tokio::time::timeout_at(until, member.client()).await {
            Ok(client) => client.map_err(|error| Failure::of(error, Effect::Read))?,
            Err(_) => return Err(Failure::silence(Effect::Read, given)),
        };
        match tokio::time::timeout_at(until, request(client)).await {
            Ok(answer) => answer.map_err(|error| Failure::of(error, effect)),
            Err(_) if member.was_heard_since(began) => Err(Failure::silence(effect, Duration::ZERO)),
            Err(_) => Err(Failure::silence(effect, given)),
        }
    }
}
