//! Where clients come in.

use std::path::{Path, PathBuf};

#[cfg(feature = "tls")]
use crate::servers::certificates::Certificates;
use crate::servers::node::Site;
use crate::servers::url::escaped;

/// The one way in for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Entrance {
    /// A port.
    #[default]
    Port,
    /// A port on which TLS is spoken.
    #[cfg(feature = "tls")]
    Tls {
        /// Whether clients must show a certificate.
        both_ways: bool,
    },
    /// A socket in the server's directory.
    Socket,
}

impl Entrance {
    /// The socket at which the server itself can be asked, where its port is not plain.
    pub(super) fn socket(self, dir: &Path) -> Option<PathBuf> {
        (self != Self::Port).then(|| dir.join("redis.sock"))
    }

    pub(super) fn args(self, site: &Site<'_>) -> Vec<String> {
        let mut args = match self {
            Self::Port => strings(["--port", &site.ports[0].to_string()]),
            Self::Socket => strings(["--port", "0"]),
            #[cfg(feature = "tls")]
            Self::Tls { both_ways } => {
                let files = Certificates::in_dir(site.dir);
                let mut args = strings(["--port", "0", "--tls-port", &site.ports[0].to_string()]);
                args.extend(strings(["--tls-auth-clients", if both_ways { "yes" } else { "no" }]));
                for (setting, file) in [
                    ("--tls-ca-cert-file", files.authority()),
                    ("--tls-cert-file", files.server()),
                    ("--tls-key-file", files.server_key()),
                ] {
                    args.extend(strings([setting, &file.to_string_lossy()]));
                }
                args
            }
        };
        if let Some(socket) = self.socket(site.dir) {
            args.extend(strings(["--unixsocket", &socket.to_string_lossy()]));
        }
        args
    }

    /// The URL of a server in `dir`; `login` ends with an `@`, or is empty.
    pub(super) fn url(self, login: &str, addr: std::net::SocketAddr, dir: &Path) -> String {
        match self {
            Self::Port => format!("redis://{login}{addr}"),
            Self::Socket => format!("redis+unix://{login}{}", escaped(&dir.join("redis.sock"))),
            #[cfg(feature = "tls")]
            Self::Tls { both_ways } => {
                format!("rediss://{login}{addr}?{}", Certificates::in_dir(dir).options(both_ways))
            }
        }
    }
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}
