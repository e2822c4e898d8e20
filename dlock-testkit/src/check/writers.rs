//! Which operation accessed a register.

use std::collections::HashMap;

use dlock_core::Token;

use crate::history::{History, Op, What};

/// The first who accessed a register without an operation that held its name: operations write down
/// that they hold before they go to the resource.
pub(super) fn stranger(history: &History) -> Option<&str> {
    let writers = Writers::of(history);
    history.events.iter().find_map(|event| match &event.what {
        What::Read { name, owner, token, .. } | What::Write { name, owner, token, .. } => {
            writers.find(name, owner, *token, event.at).is_none().then_some(owner.as_str())
        }
        _ => None,
    })
}

/// Finds operations by what the resource knows of them.
pub(super) struct Writers<'h> {
    /// By name and owner, in order of invocation: an owner makes one operation after the other.
    held: HashMap<(&'h str, &'h str), Vec<&'h Op>>,
}

impl<'h> Writers<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut held: HashMap<_, Vec<_>> = HashMap::new();
        for op in history.ops.iter().filter(|op| op.hold().is_some()) {
            held.entry((op.name.as_str(), op.owner.as_str())).or_default().push(op);
        }
        Self { held }
    }

    /// The last operation that `owner` held on `name` before `at`, with this token if it showed one.
    pub(super) fn find(&self, name: &str, owner: &str, token: Option<Token>, at: u64) -> Option<&'h Op> {
        let ops = self.held.get(&(name, owner))?;
        let begun = ops.partition_point(|op| op.hold().is_some_and(|hold| hold.since <= at));
        ops[..begun]
            .iter()
            .rev()
            .copied()
            .find(|op| token.is_none() || op.hold().is_some_and(|hold| hold.token == token))
    }
}
