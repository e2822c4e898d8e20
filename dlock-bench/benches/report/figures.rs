//! What tables say about many measurements.

use hdrhistogram::Histogram;

/// The middle one, of an odd number of values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A quantile of a histogram of nanoseconds, in microseconds.
pub(crate) fn micros(nanoseconds: &Histogram<u64>, quantile: f64) -> f64 {
    nanoseconds.value_at_quantile(quantile) as f64 / 1000.0
}
