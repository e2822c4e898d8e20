//! The Redis and Valkey backend of dlock.
