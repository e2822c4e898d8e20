use std::fmt;
use std::path::PathBuf;

use dlock_core::address::{Address, Login};

/// Where the servers are, and how they belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One, at a port.
    Single(Address),
    /// One, at a socket of this machine.
    Unix(PathBuf),
    /// The primary that sentinels name.
    Sentinel { sentinels: Vec<Address>, service: String, login: Login },
    /// A cluster, of which these nodes are known.
    Cluster(Vec<Address>),
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Sentinel { sentinels, service, .. } => {
                write!(f, "{service}, as sentinels say at {}", list(sentinels))
            }
            Self::Cluster(nodes) => write!(f, "the cluster with {}", list(nodes)),
        }
    }
}

fn list(addresses: &[Address]) -> String {
    addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
}
