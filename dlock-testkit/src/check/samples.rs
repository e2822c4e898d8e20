//! Measured spans of time.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Spans of time in nanoseconds. Serialized as their number, median, 99th percentile and maximum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// In ascending order.
    sorted: Vec<u64>,
}

impl Samples {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The least span that `percent` of them do not exceed; `None` where there are none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    pub(super) fn and(&self, others: &Self) -> Self {
        self.sorted.iter().chain(&others.sorted).copied().collect()
    }
}

impl FromIterator<u64> for Samples {
    fn from_iter<T: IntoIterator<Item = u64>>(spans: T) -> Self {
        let mut sorted: Vec<u64> = spans.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Samples", 4)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("p50_ns", &self.percentile(50))?;
        fields.serialize_field("p99_ns", &self.percentile(99))?;
        fields.serialize_field("max_ns", &self.percentile(100))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_spans() {
        let samples: Samples = (1..=200).rev().collect();
        assert_eq!(samples.percentile(50), Some(100));
        assert_eq!(samples.percentile(99), Some(198));
        assert_eq!(samples.percentile(100), Some(200));
        assert_eq!(Samples::from_iter([7]).percentile(50), Some(7));
        assert_eq!(Samples::default().percentile(99), None);
    }
}
