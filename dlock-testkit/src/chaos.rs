//! Runs clients under faults that a seed decides, and records what happens.
//!
//! Worker processes acquire a few names again and again and, while they hold one, read and write the
//! name's two registers on a [`Resource`]: one that is fenced and one that is not. The lab spoils
//! their network, stops and kills them, and does to the servers and the stored entries what the
//! [`Target`] offers, by the schedule of a [`Plan`]. Then everything is healed, everybody must
//! be served, and nothing may be left in the store. [`check`](crate::check) judges what was recorded.
//!
//! A store of your own takes part by a [`Target`]; the `chaos` command runs those that dlock
//! ships.

mod fleet;
mod line;
mod locker;
mod owner;
mod plan;
mod resource;
mod run;
mod target;
mod translator;
mod worker;

pub use self::line::LineFault;
#[cfg(feature = "redis")]
pub(crate) use self::line::Lines;
pub use self::locker::{DlockLocker, Holding, Locker};
pub use self::plan::{Plan, Step};
pub use self::resource::Resource;
pub use self::run::{Run, Settings, connect};
pub use self::target::{Aim, Aimed, Kind, Target};
pub use self::worker::{WorkerConfig, serve_as_worker};
