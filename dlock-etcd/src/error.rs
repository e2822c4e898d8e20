//! What an error of the client library means: its kind, whether the request could have landed, and
//! what to do about it.

mod status;

use std::time::Duration;

use dlock_core::{Error, ErrorKind, Landed};
use etcd_client::Error as EtcdError;

use self::status::judge;

/// A member that did not answer within this time is worse than others.
const FAIR: Duration = Duration::from_millis(250);

/// What a request does to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it can never have landed.
    Read,
    /// Nothing that matters if it is done twice, or without anybody knowing: leases are granted,
    /// kept alive and revoked so. One that nobody knows of lapses.
    Repeatable,
    /// It changes something.
    Write,
}

/// What to do about a failed request that surely was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing: it would fail again.
    Report,
    /// To make it again in a moment: the error says nothing about the member.
    Repeat,
    /// To ask another member: this one may be worse than the others.
    NextMember,
    /// To log in again first.
    LogIn,
}

/// A failed request.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) remedy: Remedy,
}

impl Effect {
    pub(crate) fn doubt(self) -> Landed {
        match self {
            Self::Read | Self::Repeatable => Landed::No,
            Self::Write => Landed::Maybe,
        }
    }
}

impl Failure {
    /// The one place where errors of the client library are judged.
    ///
    /// [`ErrorKind::Lost`] stands for a lease that the server does not know.
    pub(crate) fn of(error: EtcdError, effect: Effect) -> Self {
        let verdict = match &error {
            EtcdError::GRpcStatus(status) => {
                judge(status.code() as i32, &format!("{}{}", status.message(), causes(status)), effect)
            }
            EtcdError::LeaseKeepAliveError(text) if text == "lease not found" => {
                (ErrorKind::Lost, Landed::No, Remedy::Report, "the etcd lease is gone".to_owned())
            }
            // A channel could not be made: nothing was sent.
            EtcdError::InvalidArgs(_)
            | EtcdError::InvalidUri(_)
            | EtcdError::InvalidMetadataValue(_)
            | EtcdError::TransportError(_) => {
                let text = format!("etcd cannot be reached as configured: {error}{}", transport_causes(&error));
                (ErrorKind::InvalidInput, Landed::No, Remedy::Report, text)
            }
            EtcdError::EndpointError(_) | EtcdError::EndpointsNotManaged => {
                (ErrorKind::Internal, Landed::No, Remedy::Report, format!("the etcd client failed: {error}"))
            }
            EtcdError::Utf8Error(_) => {
                (ErrorKind::Protocol, effect.doubt(), Remedy::NextMember, format!("etcd answered garbage: {error}"))
            }
            _ => {
                let text = format!("the connection to etcd failed: {error}");
                (ErrorKind::Unavailable, effect.doubt(), Remedy::NextMember, text)
            }
        };
        let (kind, landed, remedy, message) = verdict;
        Self { error: Error::new(kind, message).with_landed(landed).with_source(error), remedy }
    }

    /// A member that said nothing in the time that it was given.
    pub(crate) fn silence(effect: Effect, given: Duration) -> Self {
        // The last moments of a deadline say nothing about a member.
        let remedy = if given < FAIR { Remedy::Report } else { Remedy::NextMember };
        Self { error: timed_out(effect), remedy }
    }

    /// Whether the member is there, and only refuses for the moment: for want of a leader, say.
    pub(crate) fn passes(&self) -> bool {
        let cause = std::error::Error::source(&self.error).and_then(|cause| cause.downcast_ref());
        match cause {
            Some(EtcdError::GRpcStatus(status)) => {
                self.error.is_retryable() && status.message().starts_with("etcdserver: ")
            }
            _ => false,
        }
    }
}

/// The error alone, where nothing is done about it.
pub(crate) fn classify(error: EtcdError, effect: Effect) -> Error {
    Failure::of(error, effect).error
}

/// A request that got no answer in time.
pub(crate) fn timed_out(effect: Effect) -> Error {
    Error::new(ErrorKind::Unavailable, "etcd did not answer in time: check the server, or raise the request timeout")
        .with_landed(effect.doubt())
}

fn transport_causes(error: &EtcdError) -> String {
    match error {
        EtcdError::TransportError(transport) => causes(transport),
        _ => String::new(),
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_doubtful_for_writes_only() {
        assert_eq!(timed_out(Effect::Write).landed(), Landed::Maybe);
        assert_eq!(timed_out(Effect::Read).landed(), Landed::No);
        assert_eq!(timed_out(Effect::Repeatable).landed(), Landed::No);
        assert!(timed_out(Effect::Read).is_retryable());
    }

    #[test]
    fn a_member_that_had_no_time_is_not_blamed() {
        assert_eq!(Failure::silence(Effect::Read, Duration::ZERO).remedy, Remedy::Report);
        assert_eq!(Failure::silence(Effect::Read, Duration::from_secs(1)).remedy, Remedy::NextMember);
    }

    #[test]
    fn a_lost_lease_is_told_apart() {
        let lost = classify(EtcdError::LeaseKeepAliveError("lease not found".into()), Effect::Write);
        assert_eq!(lost.kind(), ErrorKind::Lost);
        let broken = Failure::of(EtcdError::LeaseKeepAliveError("channel closed".into()), Effect::Write);
        assert_eq!((broken.error.kind(), broken.error.landed()), (ErrorKind::Unavailable, Landed::Maybe));
        assert_eq!(broken.remedy, Remedy::NextMember);
    }
}
