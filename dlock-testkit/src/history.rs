//! What happened in a run, written down by every process for itself, and read together afterwards.
//!
//! A run has a directory. Each process of it appends [`Event`]s to a file of its own there, a line of
//! JSON each, with the time of `CLOCK_BOOTTIME`, which all processes of a machine share. A line is
//! one write, so that a process that is killed leaves whole lines.

mod error;
mod event;
mod fault;
mod fold;
mod op;
mod read;
mod recorder;

pub use self::error::ReadError;
pub use self::event::{Event, FaultInfo, Register, What};
pub use self::fault::Fault;
pub use self::op::{End, Hold, Op, Outcome};
pub use self::read::History;
pub use self::recorder::Recorder;
