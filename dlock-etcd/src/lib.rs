//! The etcd backend of dlock.
