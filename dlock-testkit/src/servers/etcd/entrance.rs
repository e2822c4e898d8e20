//! Where clients come in.

use std::net::SocketAddr;
use std::path::Path;

use super::ask::SOCKET;
#[cfg(feature = "tls")]
use crate::servers::certificates::Certificates;
use crate::servers::node::Site;

/// The port for clients. Besides, there is a socket for the testkit itself, see [`SOCKET`].
#[derive(Clone, Debug, Default)]
pub(super) enum Entrance {
    #[default]
    Plain,
    /// TLS is spoken.
    #[cfg(feature = "tls")]
    Tls {
        /// The common name of the clients' certificate, if they must show one.
        client: Option<String>,
    },
}

impl Entrance {
    pub(super) fn args(&self, site: &Site<'_>) -> Vec<String> {
        let clients = format!("{}://127.0.0.1:{}", self.protocol(), site.ports[0]);
        let listen = format!("{clients},unix://{SOCKET}");
        let args = ["--listen-client-urls".to_owned(), listen, "--advertise-client-urls".to_owned(), clients];
        args.into_iter().chain(self.tls_args(site)).collect()
    }

    #[cfg(not(feature = "tls"))]
    fn tls_args(&self, _: &Site<'_>) -> [String; 0] {
        []
    }

    #[cfg(feature = "tls")]
    fn tls_args(&self, site: &Site<'_>) -> Vec<String> {
        match self {
            Self::Plain => Vec::new(),
            Self::Tls { client } => {
                let (files, text) = (Certificates::in_dir(site.dir), |path: &Path| path.to_string_lossy().into_owned());
                let mut args = vec!["--cert-file".to_owned(), text(&files.server())];
                args.extend(["--key-file".to_owned(), text(&files.server_key())]);
                if client.is_some() {
                    let authority = text(&files.authority());
                    args.extend(["--client-cert-auth".to_owned(), "--trusted-ca-file".to_owned(), authority]);
                }
                args
            }
        }
    }

    /// The URL of servers, one of which is in `dir`; `login` ends with an `@`, or is empty.
    pub(super) fn url(&self, login: &str, addrs: &[SocketAddr], dir: &Path) -> String {
        let addrs: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
        let scheme = if matches!(self, Self::Plain) { "etcd" } else { "etcds" };
        format!("{scheme}://{login}{}{}", addrs.join(","), self.options(dir))
    }

    #[cfg(not(feature = "tls"))]
    fn options(&self, _: &Path) -> &'static str {
        ""
    }

    /// What a client needs besides, with its question mark.
    #[cfg(feature = "tls")]
    fn options(&self, dir: &Path) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Tls { client } => format!("?{}", Certificates::in_dir(dir).options(client.is_some())),
        }
    }

    /// The scheme of URLs for etcd's own clients.
    pub(super) fn protocol(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            #[cfg(feature = "tls")]
            Self::Tls { .. } => "https",
        }
    }
}
