//! What the errors of TLS mean.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use dlock_core::{ErrorKind, Landed};
use redis::RedisError;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// The kind of an error that comes from TLS, whether the request could have landed, and what to do.
pub(super) fn meaning(error: &RedisError) -> Option<(ErrorKind, Landed, &'static str)> {
    use ErrorKind::{Denied, Protocol, Unavailable};
    Some(match tls_error(error)? {
        TlsError::InvalidCertificate(why) => (Denied, Landed::No, distrust(why)),
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => (Denied, Landed::Maybe, CLIENT),
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
                (Protocol, Landed::No, "redis and this client have no tls version or cipher in common")
            }
            _ => (Unavailable, Landed::Maybe, "redis ended the tls connection"),
        },
        TlsError::InvalidMessage(_) => (Protocol, Landed::No, PLAIN),
        _ => (Unavailable, Landed::Maybe, "tls failed"),
    })
}

const CLIENT: &str = "redis does not accept this client's certificate: give cert-file and key-file that its \
                      tls-ca-cert-file has signed";
const PLAIN: &str = "the peer does not speak tls: use redis:// or the server's tls port";

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

/// The error of TLS among the causes of `error`.
fn tls_error(error: &RedisError) -> Option<&TlsError> {
    let mut cause = StdError::source(error);
    while let Some(error) = cause {
        // The library shares the errors it wraps.
        let error = match error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
            Some(shared) => &**shared as &(dyn StdError + 'static),
            None => error,
        };
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_tls() {
        use ErrorKind::{Denied, Protocol, Unavailable};
        for (error, kind, why) in [
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), Denied, "give its ca-file"),
            (TlsError::InvalidCertificate(CertificateError::NotValidForName), Denied, "another host"),
            (TlsError::InvalidCertificate(CertificateError::Expired), Denied, "has expired"),
            (TlsError::InvalidCertificate(CertificateError::BadSignature), Denied, "not trusted"),
            (TlsError::AlertReceived(AlertDescription::CertificateRequired), Denied, "cert-file and key-file"),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), Protocol, "no tls version"),
            (TlsError::AlertReceived(AlertDescription::InternalError), Unavailable, "ended"),
            (TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType), Protocol, "use redis://"),
        ] {
            let error = RedisError::from(io::Error::new(io::ErrorKind::InvalidData, error));
            let found = meaning(&error).unwrap();
            assert_eq!(found.0, kind, "{error}");
            assert!(found.2.contains(why), "{error}: {}", found.2);
        }
        let library = RedisError::from(TlsError::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(meaning(&library).unwrap().0, Denied);
        assert!(meaning(&RedisError::from(io::Error::from(io::ErrorKind::TimedOut))).is_none());
    }
}
