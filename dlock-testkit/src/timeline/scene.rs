//! What is to be drawn of a history.

use std::collections::BTreeSet;

use dlock_core::Token;

use super::mark::{Mark, Verdict};
use super::window::Window;
use crate::history::{End, Event, Fault, History, Op, Outcome, Register, What};

/// The part of a history that touches a window, sorted into lanes.
#[derive(Debug)]
pub(super) struct Scene<'h> {
    /// When the whole history begins: times are shown from here.
    pub start: u64,
    pub window: Window,
    pub about: Option<About<'h>>,
    pub names: Vec<&'h str>,
    pub owners: Vec<Owner<'h>>,
    pub ops: Vec<&'h Op>,
    pub faults: Vec<&'h Fault>,
    pub moments: Vec<Moment<'h>>,
    pub touches: Vec<Touch<'h>>,
    pub marks: Vec<&'h Mark>,
    /// Whether the run came to its end, the look at what is left in the store. Before that, nothing
    /// can be said to be well.
    pub is_whole: bool,
    /// When the whole history ends.
    pub end: u64,
}

/// What the run was.
#[derive(Debug)]
pub(super) struct About<'h> {
    pub store: &'h str,
    pub seed: u64,
    pub command: &'h str,
}

/// A lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Owner<'h> {
    pub process: &'h str,
    pub owner: &'h str,
}

/// Something that happened at one moment, to no operation.
#[derive(Debug)]
pub(super) enum Moment<'h> {
    Gone { at: u64, process: &'h str },
    Healed { at: u64 },
    EpochAccepted { at: u64, name: &'h str, epoch: u64 },
}

/// A write to a register, or a read that was refused. Reads that were granted are not drawn: each
/// is followed by the write.
#[derive(Debug)]
pub(super) struct Touch<'h> {
    pub at: u64,
    pub register: Register,
    pub name: &'h str,
    pub owner: &'h str,
    pub token: Option<Token>,
    /// What was written; `None` for a read.
    pub value: Option<u64>,
    pub accepted: bool,
}

impl<'h> Scene<'h> {
    /// What of `history` touches `window`, all of it where there is none.
    pub(super) fn of(history: &'h History, marks: &'h [Mark], window: Option<Window>) -> Self {
        let (start, end) = (history.begin(), history.end());
        let window = window.unwrap_or(Window { from: start, to: end });
        let mut scene = Self {
            start,
            window,
            about: None,
            names: Vec::new(),
            owners: Vec::new(),
            ops: history.ops.iter().filter(|op| window.touches(op.invoked, last_of(op, end))).collect(),
            faults: history.faults.iter().filter(|fault| fault.is_under_way(window.from, window.to)).collect(),
            moments: Vec::new(),
            touches: Vec::new(),
            marks: marks.iter().filter(|mark| window.touches(mark.from, mark.to)).collect(),
            is_whole: false,
            end,
        };
        scene.collect_events(&history.events);
        scene.name_lanes();
        scene
    }

    /// How many of the marks are violations.
    pub(super) fn violations(&self) -> usize {
        self.marks.iter().filter(|mark| mark.verdict == Verdict::Violation).count()
    }

    /// The owners of the operations of `mark`.
    pub(super) fn owners_of(&self, mark: &Mark) -> BTreeSet<Owner<'h>> {
        let concerns = |op: &Op| mark.ops.iter().any(|(process, number)| *process == op.process && *number == op.op);
        self.ops.iter().filter(|op| concerns(op)).map(|op| Owner::of(op)).collect()
    }

    fn collect_events(&mut self, events: &'h [Event]) {
        let window = self.window;
        for Event { at, what, .. } in events {
            let at = *at;
            let is_seen = window.touches(at, at);
            match what {
                What::About { store, seed, command } => self.about = Some(About { store, seed: *seed, command }),
                What::Scanned { .. } => self.is_whole = true,
                What::Gone { who } if is_seen => self.moments.push(Moment::Gone { at, process: who }),
                What::Healed if is_seen => self.moments.push(Moment::Healed { at }),
                What::EpochAccepted { name, epoch } if is_seen => {
                    self.moments.push(Moment::EpochAccepted { at, name, epoch: *epoch });
                }
                What::Read { register, name, owner, token, value: None } if is_seen => {
                    let (register, token) = (*register, *token);
                    self.touches.push(Touch { at, register, name, owner, token, value: None, accepted: false });
                }
                What::Write { register, name, owner, token, value, accepted } if is_seen => {
                    let (register, token, value, accepted) = (*register, *token, Some(*value), *accepted);
                    self.touches.push(Touch { at, register, name, owner, token, value, accepted });
                }
                _ => {}
            }
        }
    }

    fn name_lanes(&mut self) {
        let names: BTreeSet<_> =
            self.ops.iter().map(|op| op.name.as_str()).chain(self.touches.iter().map(|touch| touch.name)).collect();
        self.names = names.into_iter().collect();
        self.names.sort_by_key(|name| natural(name));
        let owners: BTreeSet<_> = self.ops.iter().map(|op| Owner::of(op)).collect();
        self.owners = owners.into_iter().collect();
        self.owners.sort_by_key(|owner| (natural(owner.process), natural(owner.owner)));
    }
}

impl<'h> Owner<'h> {
    pub(super) fn of(op: &'h Op) -> Self {
        Self { process: &op.process, owner: &op.owner }
    }
}

impl Moment<'_> {
    pub(super) fn at(&self) -> u64 {
        match self {
            Self::Gone { at, .. } | Self::Healed { at } | Self::EpochAccepted { at, .. } => *at,
        }
    }
}

/// The last moment at which `op` is drawn, in a history that ends at `end`.
pub(super) fn last_of(op: &Op, end: u64) -> u64 {
    match &op.outcome {
        Outcome::Held(hold) => match &hold.end {
            End::Released { answered, .. } => answered.unwrap_or(hold.noticed).max(hold.noticed),
            End::Open => end,
            End::Lost(_) | End::Abandoned => hold.noticed.max(hold.until),
        },
        Outcome::Failed { at, .. } | Outcome::Unknown { at, .. } | Outcome::Abandoned { at } => *at,
        Outcome::Pending => end,
    }
    .max(op.invoked)
}

/// A key that sorts `w2` before `w10`.
fn natural(text: &str) -> Vec<(bool, u64, &str)> {
    text.split_inclusive(|c: char| !c.is_ascii_digit())
        .flat_map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            let (number, rest) = part.split_at(digits);
            let number = number.parse().ok().map(|number| (false, number, ""));
            let rest = (!rest.is_empty()).then_some((true, 0, rest));
            number.into_iter().chain(rest)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_in_the_order_that_people_count_in() {
        let mut names = ["w10", "w2", "w2/o11", "w2/o3", "a", "w"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a", "w", "w2", "w2/o3", "w2/o11", "w10"]);
    }
}
