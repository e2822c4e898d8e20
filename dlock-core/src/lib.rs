//! Distributed locks over any coordination service: the contract, the guards and the keeper.

mod backend;
mod claim;
mod clock;
mod error;
mod mode;
mod name;
mod token;

pub use backend::{
    BackendInfo, Capabilities, Capability, ClaimInfo, Connect, ConnectContext, DamagedEntry, Event, Gone, Grant, Life,
    LockBackend, LockState, NamePage, Page, Predecessor, Queue, Renewal, Requested, Scope, Ttl, TtlBounds, Why,
    Withdrawn,
};
pub use claim::{Claim, ClaimId, ClaimRef, Metadata};
pub use clock::{Clock, Instant};
pub use error::{Error, ErrorKind, Landed, Result};
pub use mode::{Admission, Mode};
pub use name::{LockName, NamePrefix, Namespace};
pub use token::{Fence, Token, TokenGuarantee};
