//! Modes and the one rule that admits claims.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// How a claim wants to hold its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Alone.
    Exclusive,
    /// Together with other shared claims.
    Shared,
    /// As one of at most `limit` holders. All claims on one name must agree on the limit.
    Permit {
        /// How many may hold at once.
        limit: NonZeroU32,
    },
}

/// What the claims before it mean for a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It holds.
    Held,
    /// It waits.
    Wait,
    /// A claim before it uses the name in a way that can never be combined with its own.
    Mismatch(Mode),
}

impl Mode {
    /// Whether a claim in this mode holds, given the modes of all live claims that stand before
    /// it in arrival order.
    ///
    /// This is the only admission rule of dlock: exclusive conflicts with everything, shared with
    /// exclusive, and a permit is held while fewer than `limit` permits stand before it. Reader
    /// and writer claims never share a name with permits, nor permits with another limit.
    #[must_use]
    pub fn admission(self, before: impl IntoIterator<Item = Mode>) -> Admission {
        let mut blockers = 0;
        for other in before {
            if !self.combines_with(other) {
                return Admission::Mismatch(other);
            }
            if self.conflicts_with(other) {
                blockers += 1;
            }
        }
        let room = match self {
            Self::Exclusive | Self::Shared => 1,
            Self::Permit { limit } => limit.get(),
        };
        if blockers < room { Admission::Held } else { Admission::Wait }
    }

    /// Whether an older claim in mode `other` counts against this one: it blocks an exclusive or
    /// shared claim, and uses up one of the permits of a permit claim.
    #[must_use]
    pub fn conflicts_with(self, other: Mode) -> bool {
        !matches!((self, other), (Self::Shared, Self::Shared))
    }

    /// Whether the two may be used on one name at all.
    #[must_use]
    pub fn combines_with(self, other: Mode) -> bool {
        match (self, other) {
            (Self::Permit { limit }, Self::Permit { limit: other }) => limit == other,
            (Self::Permit { .. }, _) | (_, Self::Permit { .. }) => false,
            _ => true,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("exclusive"),
            Self::Shared => f.write_str("shared"),
            Self::Permit { limit } => write!(f, "permit of {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(limit: u32) -> Mode {
        Mode::Permit { limit: NonZeroU32::new(limit).unwrap() }
    }

    #[test]
    fn the_admission_table() {
        use Mode::{Exclusive, Shared};
        for (mode, before, expected) in [
            (Exclusive, vec![], Admission::Held),
            (Exclusive, vec![Shared], Admission::Wait),
            (Exclusive, vec![Exclusive], Admission::Wait),
            (Shared, vec![], Admission::Held),
            (Shared, vec![Shared, Shared], Admission::Held),
            (Shared, vec![Shared, Exclusive], Admission::Wait),
            (permit(2), vec![], Admission::Held),
            (permit(2), vec![permit(2)], Admission::Held),
            (permit(2), vec![permit(2), permit(2)], Admission::Wait),
            (permit(2), vec![permit(3)], Admission::Mismatch(permit(3))),
            (permit(2), vec![Exclusive], Admission::Mismatch(Exclusive)),
            (Exclusive, vec![permit(2)], Admission::Mismatch(permit(2))),
            (Shared, vec![permit(1)], Admission::Mismatch(permit(1))),
        ] {
            assert_eq!(mode.admission(before.clone()), expected, "{mode} behind {before:?}");
        }
    }
}
