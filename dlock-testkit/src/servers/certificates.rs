//! Certificates that a server and its clients have of an authority of their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::url::escaped;

/// How a server on the loopback interface is called.
const SERVER: [&str; 2] = ["127.0.0.1", "localhost"];

/// The files in a directory: of the authority, of a server on the loopback interface, and of a client.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Those in `dir`, made or not.
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes them, unless they are there; `client` is the common name of the client.
    pub(crate) fn furnish(&self, client: &str) -> io::Result<()> {
        if self.client_key().exists() { Ok(()) } else { self.make(client).map_err(io::Error::other)? }
    }

    /// The options of a URL by which a client knows the server, and is known to it where it is asked
    /// for a certificate too.
    pub(crate) fn options(&self, both_ways: bool) -> String {
        let mut options = format!("ca-file={}", escaped(&self.authority()));
        if both_ways {
            let (certificate, key) = (escaped(&self.client()), escaped(&self.client_key()));
            options.push_str(&format!("&cert-file={certificate}&key-file={key}"));
        }
        options
    }

    /// The certificate of the authority, by which both sides know each other.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.dir.join("server-key.pem")
    }

    pub(crate) fn client(&self) -> PathBuf {
        self.dir.join("client.pem")
    }

    pub(crate) fn client_key(&self) -> PathBuf {
        self.dir.join("client-key.pem")
    }

    fn make(&self, client: &str) -> Result<io::Result<()>, Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "dlock-authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let signed = |names: &[&str], usages: &[ExtendedKeyUsagePurpose]| {
            let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
            params.distinguished_name.push(DnType::CommonName, names[0]);
            params.extended_key_usages = usages.to_vec();
            let key = KeyPair::generate()?;
            Ok::<_, Error>((params.signed_by(&key, &authority)?.pem(), key.serialize_pem()))
        };
        let (for_servers, for_clients) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        // etcd's JSON gateway is a client of its own server, with the same certificate.
        let (server, server_key) = signed(&SERVER, &[for_servers, for_clients.clone()])?;
        let (client, client_key) = signed(&[client], &[for_clients])?;
        let files = [
            (self.authority(), authority.pem()),
            (self.server(), server),
            (self.server_key(), server_key),
            (self.client(), client),
            (self.client_key(), client_key),
        ];
        Ok(files.into_iter().try_for_each(|(path, pem)| fs::write(path, pem)))
    }
}
