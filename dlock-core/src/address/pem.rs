use std::fmt;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsFiles, invalid};
use crate::Result;

/// What is in [`TlsFiles`], as the files have it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Pem {
    /// Certificates of authorities: at least one, where a file is given.
    pub authorities: Option<Vec<u8>>,
    /// What the client shows.
    pub client: Option<ClientPem>,
}

/// A client's certificate and the key to it.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientPem {
    /// Its own certificate, and those of intermediate authorities behind it.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl TlsFiles {
    /// Reads the files. It blocks for as long as a local file takes.
    ///
    /// # Errors
    /// `InvalidInput`, with the file's path, when one cannot be read, or holds nothing of what it is
    /// for; as [`TlsFiles::check`]. That certificate and key fit is for others to find out.
    pub fn read(&self) -> Result<Pem> {
        self.check()?;
        let authorities = self.ca.as_deref().map(read_certificates).transpose()?;
        let client = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(ClientPem { certificate: read_certificates(cert)?, key: read_key(key)? }),
            _ => None,
        };
        Ok(Pem { authorities, client })
    }
}

/// The key is not shown.
impl fmt::Debug for ClientPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPem").finish_non_exhaustive()
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorities = self.authorities.as_ref().map(Vec::len);
        f.debug_struct("Pem").field("authorities", &authorities).field("client", &self.client).finish()
    }
}

fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let pem = read_file(path)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|error| invalid(format!("{} cannot be read as pem: {error}", path.display())))?;
        count += 1;
    }
    if count == 0 {
        return Err(invalid(format!("{} holds no certificate: give one as pem", path.display())));
    }
    Ok(pem)
}

fn read_key(path: &Path) -> Result<Vec<u8>> {
    let pem = read_file(path)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        Err(error) => Err(invalid(format!("{} holds no private key in pem: {error}", path.display()))),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| invalid(format!("cannot read {}: {error}", path.display())).with_source(error))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    #[test]
    fn files_hold_what_they_are_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| -> Option<PathBuf> {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let (cert, key) = (file("cert", CERTIFICATE), file("key", KEY));
        let cut = file("cut", &format!("{CERTIFICATE}-----BEGIN CERTIFICATE-----\nAA"));
        let empty = file("empty", "");
        let none = Some(dir.path().join("none"));

        let all = TlsFiles { ca: cert.clone(), cert: cert.clone(), key: key.clone() }.read().unwrap();
        assert_eq!(all.authorities.as_deref(), Some(CERTIFICATE.as_bytes()));
        let client = all.client.unwrap();
        assert_eq!((client.certificate, client.key), (CERTIFICATE.into(), KEY.into()));
        let nothing = TlsFiles::default().read().unwrap();
        assert!(nothing.authorities.is_none() && nothing.client.is_none());

        for (ca, certificate, private, why) in [
            (&none, &None, &None, "cannot read"),
            (&key, &None, &None, "key holds no certificate"),
            (&empty, &None, &None, "empty holds no certificate"),
            (&cut, &None, &None, "cut cannot be read as pem"),
            (&None, &key, &key, "key holds no certificate"),
            (&None, &cert, &cert, "cert holds no private key"),
            (&None, &cert, &None, "belong together"),
        ] {
            let files = TlsFiles { ca: ca.clone(), cert: certificate.clone(), key: private.clone() };
            let error = files.read().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
