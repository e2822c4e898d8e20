//! Judges a history.
