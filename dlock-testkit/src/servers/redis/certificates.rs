//! Certificates that a server and its clients have of an authority of their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// What clients are known as.
const CLIENT: &str = "dlock-client";
/// How a server on the loopback interface is called.
const SERVER: [&str; 2] = ["127.0.0.1", "localhost"];

/// The files in a directory: of the authority, of a server on the loopback interface, and of a client.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Those in `dir`, made or not.
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes them, unless they are there.
    pub(super) fn furnish(&self) -> io::Result<()> {
        if self.client_key().exists() { Ok(()) } else { self.make().map_err(io::Error::other)? }
    }

    /// The certificate of the authority, by which both sides know each other.
    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    pub(super) fn server(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    pub(super) fn server_key(&self) -> PathBuf {
        self.dir.join("server-key.pem")
    }

    pub(super) fn client(&self) -> PathBuf {
        self.dir.join("client.pem")
    }

    pub(super) fn client_key(&self) -> PathBuf {
        self.dir.join("client-key.pem")
    }

    fn make(&self) -> Result<io::Result<()>, Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "dlock-authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let signed = |names: &[&str], usage| {
            let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
            params.distinguished_name.push(DnType::CommonName, names[0]);
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            Ok::<_, Error>((params.signed_by(&key, &authority)?.pem(), key.serialize_pem()))
        };
        let (server, server_key) = signed(&SERVER, ExtendedKeyUsagePurpose::ServerAuth)?;
        let (client, client_key) = signed(&[CLIENT], ExtendedKeyUsagePurpose::ClientAuth)?;
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
