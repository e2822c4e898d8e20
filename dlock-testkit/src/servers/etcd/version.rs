//! Which etcd.

use crate::servers::Skip;
use crate::servers::kind::ETCD;
use crate::servers::programs::{Neighbour, Program};

/// A version of etcd that tests may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdVersion {
    /// The one that is installed: 3.4 on Debian 12.
    #[default]
    Installed,
    /// 3.5, as `scripts/setup` unpacks it from Debian 13.
    V3_5,
}

impl EtcdVersion {
    /// Whether this version can be started here.
    ///
    /// # Errors
    /// A [`Skip`] when not.
    ///
    /// # Panics
    /// When not, though `DLOCK_REQUIRE` names it, as `etcd` or `etcd-3.5`; not so where tests run
    /// against the server at `DLOCK_TEST_ETCD`.
    pub fn installed(self) -> Result<(), Skip> {
        ETCD.require(self.program())
    }

    pub(crate) const fn program(self) -> Program {
        match self {
            Self::Installed => Program::Installed("etcd"),
            Self::V3_5 => Program::Unpacked(Neighbour { name: "etcd-3.5", program: "etcd" }),
        }
    }
}
