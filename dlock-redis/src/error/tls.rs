//! What the errors of TLS mean.

use dlock_core::address::TlsTrouble;
use dlock_core::{ErrorKind, Landed};
use redis::RedisError;

/// The kind of an error that comes from TLS, whether the request could have landed, and what to do.
pub(super) fn meaning(error: &RedisError) -> Option<(ErrorKind, Landed, &'static str)> {
    let trouble = TlsTrouble::of(error)?;
    let advice = match trouble {
        TlsTrouble::Server(advice) => advice,
        TlsTrouble::Client => {
            "redis does not accept this client's certificate: give cert-file and key-file that its tls-ca-cert-file \
             has signed"
        }
        TlsTrouble::NothingInCommon => "redis and this client have no tls version or cipher in common",
        TlsTrouble::Plain => "the peer does not speak tls: use redis:// or the server's tls port",
        TlsTrouble::Broken => "the tls connection failed",
    };
    let (kind, landed) = trouble.meaning();
    Some((kind, landed, advice))
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{AlertDescription, CertificateError, Error as TlsError};

    use super::*;

    #[test]
    fn the_errors_of_tls() {
        use ErrorKind::{Denied, Protocol};
        for (error, kind, why) in [
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), Denied, "give its ca-file"),
            (TlsError::AlertReceived(AlertDescription::CertificateRequired), Denied, "cert-file and key-file"),
            (TlsError::AlertReceived(AlertDescription::ProtocolVersion), Protocol, "no tls version"),
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
