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
        let mut args = vec!["--listen-client-urls".to_owned(), listen, "--advertise-client-urls".to_owned(), clients];
        #[cfg(feature = "tls")]
        if let Self::Tls { client } = self {
            let files = Certificates::in_dir(site.dir);
            for (setting, file) in [("--cert-file", files.server()), ("--key-file", files.server_key())] {
                args.extend([setting.to_owned(), file.to_string_lossy().into_owned()]);
            }
            if client.is_some() {
                let authority = files.authority().to_string_lossy().into_owned();
                args.extend(["--client-cert-auth".to_owned(), "--trusted-ca-file".to_owned(), authority]);
            }
        }
        args
    }

    /// The URL of servers, one of which is in `dir`; `login` ends with an `@`, or is empty.
    pub(super) fn url(&self, login: &str, addrs: &[SocketAddr], dir: &Path) -> String {
        let addrs: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
        let addrs = addrs.join(",");
        match self {
            Self::Plain => format!("etcd://{login}{addrs}"),
            #[cfg(feature = "tls")]
            Self::Tls { client } => {
                format!("etcds://{login}{addrs}?{}", Certificates::in_dir(dir).options(client.is_some()))
            }
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
