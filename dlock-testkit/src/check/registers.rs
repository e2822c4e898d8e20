//! Whether the registers were written in turn.

mod fenced;
mod record;
mod unfenced;

use std::collections::HashMap;

use dlock_core::Token;

pub(super) use self::record::gap;
pub use self::unfenced::Corruption;

use self::fenced::Fenced;
use self::unfenced::Unfenced;
use super::Violation;
use super::writers::Writers;
use crate::history::{History, Register, What};

/// What went wrong with fenced registers, and with the others.
pub(super) fn registers(history: &History) -> (Vec<Violation>, Vec<Corruption>) {
    let writers = Writers::of(history);
    let mut fenced: HashMap<&str, Fenced<'_>> = HashMap::new();
    let mut unfenced: HashMap<&str, Unfenced<'_>> = HashMap::new();
    let (mut found, mut corruptions) = (Vec::new(), Vec::new());
    for event in &history.events {
        let at = event.at;
        match &event.what {
            What::Read { register: Register::Fenced, name, owner, token, value: Some(_) } => {
                let access = Access { at, name, owner, token: *token };
                found.extend(fenced.entry(name).or_default().admit(history, &writers, access));
            }
            What::Write { register: Register::Fenced, name, owner, token, value, accepted: true } => {
                let access = Access { at, name, owner, token: *token };
                let register = fenced.entry(name).or_default();
                found.extend(register.admit(history, &writers, access));
                found.extend(register.write(history, &writers, access, *value));
            }
            What::EpochAccepted { name, epoch } => fenced.entry(name).or_default().accept_epoch(*epoch),
            What::Read { register: Register::Unfenced, name, owner, value: Some(_), .. } => {
                unfenced.entry(name).or_default().read(at, owner);
            }
            What::Write { register: Register::Unfenced, name, owner, token, value, accepted: true } => {
                let access = Access { at, name, owner, token: *token };
                corruptions.extend(unfenced.entry(name).or_default().write(history, access, *value));
            }
            _ => {}
        }
    }
    (found, corruptions)
}

/// Somebody at a register.
#[derive(Clone, Copy)]
struct Access<'h> {
    at: u64,
    name: &'h str,
    owner: &'h str,
    token: Option<Token>,
}
