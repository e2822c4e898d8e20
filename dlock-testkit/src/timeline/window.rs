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
    /// The same, with `margin` nanoseconds more on either side.
    #[must_use]
    pub fn with_margin(self, margin: u64) -> Self {
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
