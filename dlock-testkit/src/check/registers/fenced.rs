//! A fenced register.

use std::collections::HashMap;

use dlock_core::{Fence, Token};

use super::Access;
use crate::check::writers::Writers;
use crate::check::{Breach, Violation};
use crate::history::{History, Op};

/// A fenced register as it must behave, fed with what the real one accepted.
#[derive(Default)]
pub(super) struct Fenced<'h> {
    fence: Fence,
    last: Option<(u64, Writer<'h>)>,
    /// Who was the first to write with a token.
    wrote: HashMap<Token, Writer<'h>>,
}

#[derive(Clone, Copy)]
struct Writer<'h> {
    owner: &'h str,
    op: Option<&'h Op>,
}

impl<'h> Fenced<'h> {
    pub(super) fn accept_epoch(&mut self, epoch: u64) {
        self.fence.accept_epoch(epoch);
    }

    pub(super) fn admit(
        &mut self,
        history: &'h History,
        writers: &Writers<'h>,
        access: Access<'h>,
    ) -> Option<Violation> {
        let refusal = match access.token {
            Some(token) => self.fence.check(token).err()?.to_string(),
            None => "no token was shown".to_owned(),
        };
        let Access { at, name, owner, .. } = access;
        let message = format!("the fenced register of {name} admitted {owner}, and must not: {refusal}");
        let ops: Vec<&Op> = Writer::of(access, writers).op.into_iter().collect();
        Some(Violation::new(history, Breach::StaleAccess, (at, at), Some(name), &ops, message))
    }

    pub(super) fn write(
        &mut self,
        history: &'h History,
        writers: &Writers<'h>,
        access: Access<'h>,
        value: u64,
    ) -> Vec<Violation> {
        let Access { at, name, owner, token } = access;
        let writer = Writer::of(access, writers);
        let violation = |breach, before: Writer<'h>, message| {
            let ops: Vec<&Op> = before.op.into_iter().chain(writer.op).collect();
            Violation::new(history, breach, (at, at), Some(name), &ops, message)
        };
        let mut found = Vec::new();
        if let Some((last, before)) = self.last.replace((value, writer))
            && last.checked_add(1) != Some(value)
        {
            let message = format!(
                "{owner} wrote {value} to the fenced register of {name}, which was {last} by {}: an update was lost",
                before.owner
            );
            found.push(violation(Breach::LostUpdate, before, message));
        }
        if let Some(token) = token {
            let first = *self.wrote.entry(token).or_insert(writer);
            if !first.is(writer) {
                let message = format!("{} and {owner} both wrote {name} with token {token}", first.owner);
                found.push(violation(Breach::SharedToken, first, message));
            }
        }
        found
    }
}

impl<'h> Writer<'h> {
    fn of(access: Access<'h>, writers: &Writers<'h>) -> Self {
        let Access { at, name, owner, token } = access;
        Self { owner, op: writers.find(name, owner, token, at) }
    }

    fn is(self, other: Self) -> bool {
        let id = |op: &'h Op| (op.process.as_str(), op.op);
        self.owner == other.owner && self.op.map(id) == other.op.map(id)
    }
}
