//! Which program speaks Redis's protocol.

use crate::servers::Skip;
use crate::servers::kind::REDIS;
use crate::servers::programs::{Neighbour, Program};

/// A server program of Redis's family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisProgram {
    /// The Redis that is installed.
    #[default]
    Redis,
    /// Valkey: the one that is installed, or else the one that `scripts/setup` unpacks.
    Valkey,
}

impl RedisProgram {
    /// Whether it can be started here.
    ///
    /// # Errors
    /// A [`Skip`] when not.
    ///
    /// # Panics
    /// When not, though `DLOCK_REQUIRE` names it, as `redis` or `valkey`; not so where tests run
    /// against the server at `DLOCK_TEST_REDIS`.
    pub fn installed(self) -> Result<(), Skip> {
        REDIS.require(self.program())
    }

    pub(crate) const fn program(self) -> Program {
        match self {
            Self::Redis => Program::Installed("redis-server"),
            Self::Valkey => Program::Either(Neighbour { name: "valkey", program: "valkey-server" }),
        }
    }
}
