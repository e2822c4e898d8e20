//! Locks that are not dlock's, as they are widely used: to be seen under the same faults.

mod etcd_lock;
mod set_nx;

use dlock_core::{Error, ErrorKind, Landed};

pub(crate) use self::etcd_lock::EtcdLock;
pub(crate) use self::set_nx::{Belief, SetNx};

/// A request that was not answered as it should: what became of it is not known.
fn unanswered(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    Error::new(ErrorKind::Unavailable, format!("{what}: {error}")).with_source(error).with_landed(Landed::Maybe)
}
