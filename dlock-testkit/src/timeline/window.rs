//! A stretch of a history.

/// A stretch of a history, in nanoseconds of its clock. Its bounds are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
}

impl Window {
    /// The same, with a tenth of its length (at least a millisecond) more on either side, so that
    /// what is at its bounds can be seen from outside.
    #[must_use]
    pub fn with_margin(self) -> Self {
        let margin = (self.length() / 10).max(1_000_000);
        Self { from: self.from.saturating_sub(margin), to: self.to.saturating_add(margin) }
    }

    /// How long it is, in nanoseconds.
    #[must_use]
    pub fn length(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    pub(super) fn touches(self, from: u64, to: u64) -> bool {
        from <= self.to && to >= self.from
    }
}
