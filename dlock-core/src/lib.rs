//! Distributed locks over any coordination service: the contract, the guards and the keeper.

pub mod address;
mod backend;
mod claim;
mod client;
mod clock;
mod error;
mod fast;
mod guard;
mod keeper;
mod lease;
mod lock;
mod locks;
pub mod memory;
mod mode;
mod name;
mod owner;
mod rw_lock;
mod semaphore;
mod slot;
mod token;

pub use backend::{
    BackendInfo, Capabilities, Capability, ClaimInfo, Connect, ConnectContext, Contention, DamagedEntry, Event,
    FastAnswer, FastPath, Gone, Grant, Life, Line, Lines, LockBackend, LockState, NamePage, Page, Predecessor, Queue,
    Renewal, Requested, Scope, Ttl, TtlBounds, Why, Withdrawn,
};
pub use claim::{Claim, ClaimId, ClaimRef, Metadata};
pub use clock::{Clock, Instant};
pub use error::{Error, ErrorKind, Landed, Result};
pub use guard::Guard;
pub use keeper::Health;
pub use lease::{Lease, LeaseState, Loss};
pub use lock::Lock;
pub use locks::{Builder, Locks};
pub use mode::{Admission, Mode};
pub use name::{LockName, NamePrefix, Namespace};
pub use owner::Owner;
pub use rw_lock::RwLock;
pub use semaphore::Semaphore;
pub use token::{Fence, Token, TokenGuarantee};
