//! One line of a history.

use dlock_core::Token;
use serde::{Deserialize, Serialize};

/// Something that happened to one process at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub at: u64,
    /// Who wrote it: a worker such as `w3`, `resource`, or `lab`.
    pub process: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Operations are counted by the process that makes them: `op` is unique within it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// An owner begins to acquire a name.
    Invoke {
        /// The operation.
        op: u64,
        /// Who acquires: unique in the run.
        owner: String,
        /// What.
        name: String,
    },
    /// It holds the name.
    Ok {
        /// The operation.
        op: u64,
        /// Its fencing token, where the lock has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
        /// Until when it may believe so without a renewal, in nanoseconds of the same clock; `None`
        /// where claims live as long as their process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// It did not get the name, and has no claim on it.
    Fail {
        /// The operation.
        op: u64,
        /// Why not.
        why: String,
    },
    /// It got an error, and cannot know what became of its claim.
    Unknown {
        /// The operation.
        op: u64,
        /// The error.
        why: String,
    },
    /// A renewal was seen to have moved the moment until which it may believe that it holds.
    Renewed {
        /// The operation.
        op: u64,
        /// The new moment.
        until: u64,
    },
    /// The holder was told that it lost the lease, or found it out.
    Lost {
        /// The operation.
        op: u64,
        /// The last moment at which it could believe that it held: never later than this event.
        until: u64,
        /// Why.
        why: String,
    },
    /// It begins to release: from here on it does not believe that it holds.
    Release {
        /// The operation.
        op: u64,
        /// Until when it could have believed so at most; `None` as in `Ok`. Earlier than this
        /// event where it stood still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    /// The release has been answered.
    Released {
        /// The operation.
        op: u64,
        /// The error, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Written by the resource: somebody showed it a token, in order to read a register.
    Read {
        /// Which register of the name.
        register: Register,
        /// The name.
        name: String,
        /// Who reads.
        owner: String,
        /// The token shown; unfenced registers take any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
        /// The value it was given; `None` when it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<u64>,
    },
    /// Written by the resource: somebody wrote a register.
    Write {
        /// Which register of the name.
        register: Register,
        /// The name.
        name: String,
        /// Who writes.
        owner: String,
        /// The token shown; unfenced registers take any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
        /// The value: one more than the writer had read.
        value: u64,
        /// Whether it was accepted.
        accepted: bool,
    },
    /// Written by the resource: an operator accepted a new epoch for a name, after making sure that
    /// no holder of an old one was left.
    EpochAccepted {
        /// The name.
        name: String,
        /// The new epoch.
        epoch: u64,
    },
    /// Written by the lab: a fault begins.
    FaultBegun(FaultInfo),
    /// Written by the lab: a fault is over. One that only lasts a moment ends as it begins.
    FaultEnded {
        /// Its number.
        fault: u64,
    },
    /// Written by the lab: a process is gone, and believes nothing any more.
    Gone {
        /// Which.
        who: String,
    },
    /// Written by the lab: the last fault is over; whoever waits must be served now.
    Healed,
    /// Written by the lab at the end: every client is closed and every ttl is over.
    Scanned {
        /// Claims and damaged entries that the service still shows.
        claims: u64,
        /// Entries that its own tools count in the store, where they can be counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entries: Option<u64>,
    },
    /// Written by the lab at the end: what the run was, such as store, seed and number of faults.
    About {
        /// The store.
        store: String,
        /// The seed of its schedule.
        seed: u64,
        /// How to run it again.
        command: String,
    },
}

/// A register of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Register {
    /// Refuses lower tokens of the same epoch, and other epochs.
    Fenced,
    /// Takes every write.
    Unfenced,
}

/// A fault that begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultInfo {
    /// Its number in the schedule, from 0.
    pub fault: u64,
    /// What is done, such as `stop client`: the row of the report it counts in.
    pub kind: String,
    /// To whom, in words: `w3`, `member 1 (leader)`.
    pub target: String,
    /// The worker it is aimed at, where it is aimed at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The name it is aimed at, where it is aimed at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where docs/guarantees.md does not promise exclusion under it: for how long after its end
    /// overlaps are to be counted apart, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks_exclusion_for: Option<u64>,
    /// Whether it takes the server's history away, so that tokens may begin anew once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_history: bool,
}
