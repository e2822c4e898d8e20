use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::{ErrorKind, Landed};

/// Why TLS with a server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsTrouble {
    /// The server's certificate is not trusted; this says why, and what to do.
    Server(&'static str),
    /// The server does not trust this client's certificate, or misses one.
    Client,
    /// The two have no version, cipher or protocol in common.
    NothingInCommon,
    /// The peer does not speak TLS.
    Plain,
    /// Anything else.
    Broken,
}

impl TlsTrouble {
    /// The trouble that is this error or among its causes, if one is.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            // Libraries share the errors they wrap.
            let error = match error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
                Some(shared) => &**shared as &(dyn StdError + 'static),
                None => error,
            };
            if let Some(found) = error.downcast_ref() {
                return Some(Self::from_rustls(found));
            }
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// What kind of error it is, and whether a request that ended with it can have landed.
    #[must_use]
    pub fn meaning(self) -> (ErrorKind, Landed) {
        match self {
            Self::Server(_) => (ErrorKind::Denied, Landed::No),
            // In TLS 1.3 a server judges the client after its first words.
            Self::Client => (ErrorKind::Denied, Landed::Maybe),
            Self::NothingInCommon => (ErrorKind::Protocol, Landed::No),
            Self::Plain => (ErrorKind::Protocol, Landed::Maybe),
            Self::Broken => (ErrorKind::Unavailable, Landed::Maybe),
        }
    }

    fn from_rustls(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(why) => Self::Server(distrust(why)),
            TlsError::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => Self::Client,
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::NoApplicationProtocol => Self::NothingInCommon,
                _ => Self::Broken,
            },
            TlsError::InvalidMessage(_) => Self::Plain,
            _ => Self::Broken,
        }
    }
}

fn distrust(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer => {
            "the server's certificate is of an authority that is not trusted: give its ca-file"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another host: use a host name that it has"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check the clocks"
        }
        _ => "the server's certificate is not trusted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_tls() {
        use ErrorKind::{Denied, Protocol, Unavailable};
        let server = |why| TlsTrouble::Server(distrust(&why));
        for (error, trouble, kind) in [
            (
                TlsError::InvalidCertificate(CertificateError::UnknownIssuer),
                server(CertificateError::UnknownIssuer),
                Denied,
            ),
            (TlsError::InvalidCertificate(CertificateError::Expired), server(CertificateError::Expired), Denied),
            (TlsError::AlertReceived(AlertDescription::CertificateRequired), TlsTrouble::Client, Denied),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), TlsTrouble::NothingInCommon, Protocol),
            (TlsError::AlertReceived(AlertDescription::InternalError), TlsTrouble::Broken, Unavailable),
            (TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType), TlsTrouble::Plain, Protocol),
        ] {
            assert_eq!((TlsTrouble::of(&error), trouble.meaning().0), (Some(trouble), kind), "{error}");
            let shared: Arc<dyn StdError + Send + Sync> = Arc::new(io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(TlsTrouble::of(&io::Error::other(shared)), Some(trouble));
        }
        assert_eq!(TlsTrouble::of(&io::Error::from(io::ErrorKind::TimedOut)), None);
    }

    #[test]
    fn what_to_do_is_said() {
        for (why, advice) in [
            (CertificateError::UnknownIssuer, "give its ca-file"),
            (CertificateError::NotValidForName, "another host"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::BadSignature, "not trusted"),
        ] {
            assert!(distrust(&why).contains(advice), "{why}");
        }
    }
}
